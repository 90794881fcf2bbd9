"""What a tool is called and takes, in the words a vendor allows: names there and back, schemas without a loss.

Sources: json-schema.org/draft/2020-12 for the keywords, OpenAPI 3.0.3 (Schema Object) for `nullable`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

DIGEST_CHARACTERS = 8

_MERGED = frozenset(("properties", "required", "description"))


class Names:
    """Names of tools as a vendor takes them. What it takes already stays as it is.

    `pattern` is the whole of what it takes, letters, digits and underscores among it; `longest` counts characters.
    """

    def __init__(self, pattern: str, longest: int = 64) -> None:
        self._allowed = re.compile(pattern)
        self._longest = longest

    def rename(self, name: str) -> str:
        """The name for the vendor: the same each time, and another for each name."""
        if len(name) <= self._longest and self._allowed.fullmatch(name):
            return name
        safe = re.sub(r"[^A-Za-z0-9_]", "_", name)
        safe = safe if safe[:1].isalpha() else f"_{safe}"
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_CHARACTERS]
        return f"{safe[: self._longest - DIGEST_CHARACTERS - 1]}_{digest}"

    def back(self, names: Iterable[str]) -> dict[str, str]:
        """The names that had to be changed, by what they were changed to."""
        return {renamed: name for name in names if (renamed := self.rename(name)) != name}


class Dialect(Struct, frozen=True, kw_only=True):
    """The part of JSON Schema that a vendor understands.

    `keywords` are passed on; with `nullable` among them null is said in OpenAPI's way. `formats` are the formats it
    knows by type. `text_enums`: only strings may be enumerated. `lone_any_of`: nothing may stand beside `anyOf`.
    `needs_items`: an array says what it holds.
    """

    keywords: frozenset[str]
    formats: Mapping[str, frozenset[str]] | None = None
    text_enums: bool = False
    lone_any_of: bool = False
    needs_items: bool = False


def narrow(schema: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
    """The schema in a vendor's dialect. What it has no keyword for stands at the end of the description, as JSON."""
    return _Narrowing(schema, dialect).node(schema, ())


class _Narrowing:
    """One schema on its way; `open_references` are those that lead to where it is."""

    def __init__(self, root: dict[str, Any], dialect: Dialect) -> None:
        self._root = root
        self._dialect = dialect

    def node(self, schema: Any, open_references: tuple[str, ...]) -> dict[str, Any]:
        if not isinstance(schema, dict):
            return {} if schema is True else {"description": _told("", {"allowed": schema})}
        node, open_references = self._resolve(schema, open_references)
        node = self._say_const(self._join_all_of(node, open_references))
        node = self._say_null(self._say_one_of(node))
        out = self._sort_out(node, open_references)
        return self._distribute(out) if self._dialect.lone_any_of and "anyOf" in out else out

    def _knows(self, keyword: str) -> bool:
        return keyword in self._dialect.keywords

    def _resolve(self, node: dict[str, Any], seen: tuple[str, ...]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """What a `$ref` into the schema itself names, with what stands beside it; a circle ends in a description."""
        while "$ref" in node and not self._knows("$ref"):
            name = str(node["$ref"])
            beside = {key: value for key, value in node.items() if key != "$ref"}
            found = self._find(name)
            if found is None or name in seen:
                return {"description": _told(str(beside.get("description", "")), {"like": name})}, seen
            node, seen = {**found, **beside}, (*seen, name)
        return {key: value for key, value in node.items() if self._knows(key) or not key.startswith("$")}, seen

    def _find(self, name: str) -> dict[str, Any] | None:
        found: Any = self._root
        for step in name.removeprefix("#").split("/")[1:]:
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        return found if name.startswith("#") and isinstance(found, dict) else None

    def _join_all_of(self, node: dict[str, Any], seen: tuple[str, ...]) -> dict[str, Any]:
        """`allOf` joined into the node, as far as its parts do not contradict it; the others stay."""
        parts = node.get("allOf")
        if not isinstance(parts, list) or self._knows("allOf"):
            return node
        out = {key: value for key, value in node.items() if key != "allOf"}
        left = []
        for part in parts:
            added = self._resolve(part, seen)[0] if isinstance(part, dict) else None
            if added is None or any(key in out and out[key] != added[key] for key in set(added) - _MERGED):
                left.append(part)
            else:
                out = _joined(out, added)
        return {**out, "allOf": left} if left else out

    def _say_const(self, node: dict[str, Any]) -> dict[str, Any]:
        if "const" not in node or self._knows("const") or "enum" in node:
            return node
        return {**{key: value for key, value in node.items() if key != "const"}, "enum": [node["const"]]}

    def _say_one_of(self, node: dict[str, Any]) -> dict[str, Any]:
        if "oneOf" not in node or self._knows("oneOf") or "anyOf" in node:
            return node
        return {"anyOf" if key == "oneOf" else key: value for key, value in node.items()}

    def _say_null(self, node: dict[str, Any]) -> dict[str, Any]:
        """Null, in OpenAPI's way: as a mark beside the other type, the only one or one of several."""
        if not self._knows("nullable"):
            return node
        node = _types_apart(node)
        branches, values = node.get("anyOf"), node.get("enum")
        if isinstance(branches, list) and {"type": "null"} in branches:
            node = {**node, "nullable": True, "anyOf": [each for each in branches if each != {"type": "null"}]}
        if isinstance(values, list) and None in values:
            node = {**node, "nullable": True, "enum": [value for value in values if value is not None]}
        if node.get("type") == "null":
            node = {**{key: value for key, value in node.items() if key != "type"}, "nullable": True}
        branches = node.get("anyOf")
        if isinstance(branches, list) and len(branches) == 1 and isinstance(branches[0], dict):
            node = _joined({key: value for key, value in node.items() if key != "anyOf"}, branches[0])
        return node

    def _sort_out(self, node: dict[str, Any], seen: tuple[str, ...]) -> dict[str, Any]:
        """The keywords that are passed on; the others go into the description."""
        kept: dict[str, Any] = {}
        moved: dict[str, Any] = {}
        for key, value in node.items():
            if key == "definitions" or (key == "properties" and not value):
                continue
            if self._fits(key, value, node):
                kept[key] = self._inside(key, value, seen)
            else:
                moved[key] = value
        if isinstance(kept.get("required"), list):
            _require_only_what_there_is(kept, moved)
        if self._dialect.needs_items and kept.get("type") == "array" and not kept.get("items"):
            kept["items"] = {"type": "string"}
        if moved:
            kept["description"] = _told(str(kept.get("description", "")), moved)
        return kept

    def _fits(self, key: str, value: Any, node: dict[str, Any]) -> bool:
        if not self._knows(key):
            return False
        if key == "format" and self._dialect.formats is not None:
            return value in self._dialect.formats.get(str(node.get("type")), ())
        if key == "enum" and self._dialect.text_enums:
            return isinstance(value, list) and all(isinstance(each, str) for each in value)
        return True

    def _inside(self, key: str, value: Any, seen: tuple[str, ...]) -> Any:
        if key == "properties" and isinstance(value, dict):
            return {name: self.node(each, seen) for name, each in value.items()}
        if key in ("anyOf", "oneOf", "allOf", "prefixItems") and isinstance(value, list):
            return [self.node(each, seen) for each in value]
        return self.node(value, seen) if key in ("items", "additionalProperties") and isinstance(value, dict) else value

    def _distribute(self, node: dict[str, Any]) -> dict[str, Any]:
        """`anyOf` alone: what stands beside it holds for each branch."""
        beside = {key: value for key, value in node.items() if key != "anyOf"}
        return {"anyOf": [_joined(branch, beside) for branch in node["anyOf"]]}


def _types_apart(node: dict[str, Any]) -> dict[str, Any]:
    """A list of types as one type, or as `anyOf` of them."""
    types = node.get("type")
    if not isinstance(types, list):
        return node
    rest = {key: value for key, value in node.items() if key != "type"}
    named = [each for each in types if each != "null"]
    if "null" in types:
        rest["nullable"] = True
    if len(named) == 1:
        return {"type": named[0], **rest}
    if "anyOf" in rest or not named:
        return {**rest, "description": _told(str(rest.get("description", "")), {"type": types})}
    return {**rest, "anyOf": [{"type": each} for each in named]}


def _joined(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Both schemas in one; where both say something else, the first one holds, except for what can be added up."""
    out = {**second, **first}
    if isinstance(first.get("properties"), dict) and isinstance(second.get("properties"), dict):
        out["properties"] = {**second["properties"], **first["properties"]}
    if isinstance(first.get("required"), list) and isinstance(second.get("required"), list):
        out["required"] = list(dict.fromkeys([*first["required"], *second["required"]]))
    texts = [str(each["description"]) for each in (second, first) if each.get("description")]
    return {**out, "description": " ".join(dict.fromkeys(texts))} if texts else out


def _require_only_what_there_is(kept: dict[str, Any], moved: dict[str, Any]) -> None:
    known = kept.get("properties", {})
    if unknown := [name for name in kept["required"] if name not in known]:
        moved["required"] = unknown
        kept["required"] = [name for name in kept["required"] if name in known]
    if not kept["required"]:
        del kept["required"]


def _told(description: str, moved: Mapping[str, Any]) -> str:
    """A description with what the schema could not say."""
    told = "; ".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in moved.items())
    return f"{description} ({told})" if description else f"({told})"
