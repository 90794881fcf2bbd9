"""Names and schemas in a vendor's words: nothing is lost, and names come back."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohands.sdk.translation import Dialect, Names, narrow

STRICT = Names("[A-Za-z_][A-Za-z0-9_-]*", 64)
SMALL = Dialect(
    keywords=frozenset(
        ("type", "description", "properties", "required", "items", "enum", "anyOf", "nullable", "format", "minimum")
    ),
    formats={"string": frozenset(("date-time",))},
    text_enums=True,
    lone_any_of=True,
    needs_items=True,
)
WHOLE = Dialect(
    keywords=frozenset(("type", "$ref", "$defs", "properties", "oneOf", "allOf", "const", "anyOf", "items"))
)


@pytest.mark.parametrize("name", ["read_file", "_x", "a-b", "A" * 64])
def test_a_name_that_is_taken_stays(name: str) -> None:
    assert STRICT.rename(name) == name
    assert STRICT.back([name]) == {}


@pytest.mark.parametrize("name", ["", "3d", "-x", "files.read", "größe", "a b", "a/b", "A" * 65, "x" * 500, "\ud800"])
def test_a_name_that_is_not_taken_is_changed_and_comes_back(name: str) -> None:
    renamed = STRICT.rename(name)
    assert re.fullmatch("[A-Za-z_][A-Za-z0-9_-]{0,63}", renamed)
    assert STRICT.back(["read_file", name]) == {renamed: name}


@given(st.lists(st.text(max_size=80), unique=True, max_size=20))
def test_names_that_differ_stay_different(names: list[str]) -> None:
    renamed = [STRICT.rename(name) for name in names]
    assert len(set(renamed)) == len(names)
    back = STRICT.back(names)
    assert [back.get(name, name) for name in renamed] == names


def test_what_is_understood_is_not_touched() -> None:
    schema = {
        "type": "object",
        "properties": {"path": {"type": "string", "description": "Where."}, "n": {"type": "integer", "minimum": 1}},
        "required": ["path"],
    }
    assert narrow(schema, SMALL) == schema
    kept = {
        "type": "object",
        "$defs": {"A": {"type": "string"}},
        "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"oneOf": [{"const": 1}]}, "c": {"type": ["string", "null"]}},
    }
    assert narrow(kept, WHOLE) == kept


@pytest.mark.parametrize(
    ("schema", "narrowed"),
    [
        ({"type": "integer", "multipleOf": 5}, {"type": "integer", "description": "(multipleOf: 5)"}),
        (
            {"type": "string", "description": "A name.", "pattern": "^ä+$", "maxLength": 3},
            {"type": "string", "description": 'A name. (pattern: "^ä+$"; maxLength: 3)'},
        ),
        ({"type": "string", "format": "date-time"}, {"type": "string", "format": "date-time"}),
        ({"type": "string", "format": "uri"}, {"type": "string", "description": '(format: "uri")'}),
        ({"type": ["string", "null"]}, {"type": "string", "nullable": True}),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        ({"type": ["null"]}, {"nullable": True, "description": '(type: ["null"])'}),
        ({"type": "null"}, {"nullable": True}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string", "nullable": True}),
        (
            {"oneOf": [{"type": "string"}, {"type": "integer"}], "description": "Either."},
            {"anyOf": [{"type": "string", "description": "Either."}, {"type": "integer", "description": "Either."}]},
        ),
        ({"type": "string", "const": "a"}, {"type": "string", "enum": ["a"]}),
        ({"type": "string", "enum": ["a", None]}, {"type": "string", "enum": ["a"], "nullable": True}),
        ({"type": "integer", "enum": [1, 2]}, {"type": "integer", "description": "(enum: [1, 2])"}),
        ({"type": "array"}, {"type": "array", "items": {"type": "string"}}),
        (
            {"type": "array", "prefixItems": [{"type": "integer"}]},
            {"type": "array", "items": {"type": "string"}, "description": '(prefixItems: [{"type": "integer"}])'},
        ),
        ({"type": "object", "properties": {}}, {"type": "object"}),
        ({"type": "object", "required": ["x"]}, {"type": "object", "description": '(required: ["x"])'}),
        ({"type": "object", "properties": {"x": True, "y": False}}, {
            "type": "object", "properties": {"x": {}, "y": {"description": "(allowed: false)"}}
        }),
        ({"$schema": "https://json-schema.org", "$id": "x", "type": "string"}, {"type": "string"}),
    ],
)  # fmt: skip
def test_each_keyword_finds_its_place(schema: dict[str, Any], narrowed: dict[str, Any]) -> None:
    assert narrow(schema, SMALL) == narrowed


def test_references_are_followed_and_circles_end() -> None:
    schema = {
        "type": "object",
        "properties": {"root": {"$ref": "#/$defs/Node", "description": "The first."}, "gone": {"$ref": "#/$defs/Gone"}},
        "$defs": {
            "Node": {
                "type": "object",
                "properties": {"next": {"$ref": "#/$defs/Node"}, "name": {"$ref": "#/$defs/a~1b"}},
            },
            "a/b": {"type": "string"},
        },
    }
    assert narrow(schema, SMALL)["properties"] == {
        "root": {
            "type": "object",
            "description": "The first.",
            "properties": {"next": {"description": '(like: "#/$defs/Node")'}, "name": {"type": "string"}},
        },
        "gone": {"description": '(like: "#/$defs/Gone")'},
    }


def test_all_of_is_joined_where_it_agrees_and_told_where_it_does_not() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "allOf": [
            {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"], "description": "More."},
            {"type": "string"},
        ],
    }
    assert narrow(schema, SMALL) == {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "description": 'More. (allOf: [{"type": "string"}])',
    }


def test_the_schema_given_is_left_as_it_was() -> None:
    schema = {"type": "object", "properties": {"x": {"oneOf": [{"const": 1}, {"type": "null"}], "examples": [1]}}}
    before = json.dumps(schema)
    narrow(schema, SMALL)
    assert json.dumps(schema) == before


_PLAIN = st.dictionaries(
    st.sampled_from(["minLength", "maxLength", "pattern", "multipleOf", "examples", "additionalProperties", "format"]),
    st.one_of(st.integers(), st.text(max_size=5), st.booleans()),
)


@given(
    st.recursive(
        _PLAIN, lambda inner: st.fixed_dictionaries({"properties": st.dictionaries(st.text(max_size=4), inner)})
    )
)
def test_nothing_is_lost(schema: dict[str, Any]) -> None:
    def said(node: Any) -> list[str]:
        if not isinstance(node, dict):
            return []
        inner = [each for child in node.get("properties", {}).values() for each in said(child)]
        own = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in node.items() if key != "properties"]
        return inner + own

    def told(node: dict[str, Any]) -> str:
        return str(node.get("description", "")) + "".join(map(told, node.get("properties", {}).values()))

    narrowed = narrow(schema, SMALL)
    assert set(narrowed) <= SMALL.keywords
    assert [each for each in said(schema) if each not in told(narrowed)] == []
