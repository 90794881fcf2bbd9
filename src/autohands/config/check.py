"""Turns tables into structs and names every problem in them, where msgspec would stop at the first."""

from __future__ import annotations

import math
import re
import types
from collections.abc import Container, Iterable, Mapping
from typing import Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin

import msgspec
from msgspec import Struct
from msgspec.structs import FieldInfo

from autohands.config.lines import KeyPath

_WORDS = {
    "int": "an integer",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "object": "a table",
    "array": "a list",
    "null": "nothing",
}


class Problem(Struct, frozen=True):
    """What is wrong with the value of a key."""

    path: KeyPath
    text: str


class Builder:
    """Builds structs; `problems` grows by what is wrong. Text at a `lenient` path may be a number or a truth value."""

    def __init__(self, lenient: Container[KeyPath] = ()) -> None:
        self.problems: list[Problem] = []
        self._lenient = lenient

    def build(self, kind: Any, value: Any, path: KeyPath) -> Any:
        """`value` as a `kind`, or None where there is a problem."""
        if is_struct(inner := struct_in(kind)):
            return self._struct(inner, value, path)
        origin, arguments = get_origin(bare(kind)), get_args(bare(kind))
        if origin is dict and isinstance(value, dict):
            return {self._leaf(arguments[0], key, (*path, key)): self.build(arguments[1], value[key], (*path, key))
                    for key in value}  # fmt: skip
        if origin in (tuple, list) and isinstance(value, list) and is_struct(struct_in(arguments[0])):
            return origin(self.build(arguments[0], each, (*path, number)) for number, each in enumerate(value))
        return self._leaf(kind, value, path)

    def _struct(self, kind: type[Struct], value: Any, path: KeyPath) -> Any:
        if not isinstance(value, dict):
            return self._note(path, f"expected a table, got {_word(value)}")
        before = len(self.problems)
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        for key in value:
            if key not in fields:
                self._note((*path, key), f"unknown key{_nearest_field(key, fields)}")
        built: dict[str, Any] = {}
        for name, field in fields.items():
            if name in value:
                built[field.name] = self.build(field.type, value[name], (*path, name))
            elif field.required:
                self._note((*path, name), "missing")
        return None if len(self.problems) > before else self._make(kind, built, path)

    def _make(self, kind: type[Struct], built: dict[str, Any], path: KeyPath) -> Any:
        try:
            return kind(**built)
        except (TypeError, ValueError) as error:
            return self._note(path, str(error))

    def _leaf(self, kind: Any, value: Any, path: KeyPath) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            return self._note(path, "not a finite number")
        try:
            return msgspec.convert(value, kind, strict=path not in self._lenient)
        except msgspec.ValidationError as error:
            return self._note(path, _explain(str(error), kind))

    def _note(self, path: KeyPath, text: str) -> None:
        self.problems.append(Problem(path, text))


def bare(kind: Any) -> Any:
    """A type without its annotations."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return kind


def struct_in(kind: Any) -> Any:
    """The struct that a type is, or may be (`Struct | None`); any other type as it is, without annotations."""
    kind = bare(kind)
    if get_origin(kind) in (Union, types.UnionType):
        structs = [bare(each) for each in get_args(kind) if is_struct(bare(each))]
        return structs[0] if len(structs) == 1 else kind
    return kind


def is_struct(kind: Any) -> TypeGuard[type[Struct]]:
    """Whether a type is a struct."""
    return isinstance(kind, type) and issubclass(kind, Struct)


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean …?`, or everything there is."""
    from difflib import get_close_matches

    names = list(known)
    if near := get_close_matches(name, names, 1):
        return f"; did you mean {near[0]}?"
    return f"; there are: {', '.join(names)}" if names else "; nothing can be set here"


def _nearest_field(key: str, fields: Mapping[str, FieldInfo]) -> str:
    """The field that may be meant, also one of the same name in a table beneath."""
    beneath = [f"{name}.{key}" for name, field in fields.items() if _has(struct_in(field.type), key)]
    return f"; did you mean {beneath[0]}?" if beneath else nearest(key, fields)


def _has(kind: Any, key: str) -> bool:
    return is_struct(kind) and any(field.encode_name == key for field in msgspec.structs.fields(kind))


def _explain(message: str, kind: Any) -> str:
    text, _, place = message.partition(" - at `$")
    text = re.sub(
        r"`([^`]*)`", lambda found: " or ".join(_WORDS.get(each, each) for each in found[1].split(" | ")), text
    )
    if text.startswith("Invalid enum value"):
        text += f", expected {_choices(kind)}"
    inside = f" (at {place.rstrip('`')})" if place.rstrip("`") else ""
    return text[:1].lower() + text[1:] + inside


def _choices(kind: Any) -> str:
    """The values of a Literal, wherever it stands in a type."""
    kind = bare(kind)
    if get_origin(kind) is Literal:
        return " or ".join(f'"{value}"' for value in get_args(kind))
    words = (_choices(each) for each in get_args(kind))
    return " or ".join(word for word in words if word) or _WORDS.get(getattr(kind, "__name__", ""), "")


def _word(value: Any) -> str:
    names = {dict: "a table", list: "a list", str: "text", bool: "true or false", int: "an integer", float: "a number"}
    return names.get(type(value), type(value).__name__)
