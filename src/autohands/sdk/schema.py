"""A function's signature and docstring → JSON Schema, and arguments checked against it."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from autohands.protocols.errors import ToolError

_PLAIN = (str, int, float, bool, None, type(None))
_JSON_NAMES: dict[type, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
_ARGS = re.compile(r"^\s*Args:\s*$", re.MULTILINE)
_SECTION = re.compile(r"^\s*(Args|Returns|Raises|Yields|Example|Examples|Note|Notes):\s*$", re.MULTILINE)


class Parameter(msgspec.Struct, frozen=True):
    """One argument: its name, type, default and schema."""

    name: str
    type: Any
    default: Any
    schema: dict[str, Any]

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is inspect.Parameter.empty


class Signature(msgspec.Struct, frozen=True):
    """What a model must know to call a function, and what checks the call."""

    description: str
    parameters: tuple[Parameter, ...]

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the arguments: an object, no further keys, no `$ref`."""
        return {
            "type": "object",
            "properties": {parameter.name: parameter.schema for parameter in self.parameters},
            "required": [parameter.name for parameter in self.parameters if parameter.required],
            "additionalProperties": False,
        }

    def convert(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Arguments as the function wants them: converted leniently, defaults filled in.

        Raises:
            ToolError: Every unknown, missing and wrong argument, one a line.
        """
        problems = _unknown(arguments, [parameter.name for parameter in self.parameters])
        converted: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.name not in arguments:
                if parameter.required:
                    problems.append(f"missing argument `{parameter.name}`")
                else:
                    converted[parameter.name] = parameter.default
                continue
            try:
                converted[parameter.name] = msgspec.convert(arguments[parameter.name], parameter.type, strict=False)
            except (msgspec.ValidationError, RecursionError) as error:
                problems.append(f"argument `{parameter.name}`: {_explain(error, parameter)}")
        if problems:
            raise ToolError("invalid_arguments: " + "\n".join(problems))
        return converted


def read_signature(function: Callable[..., Any], parameters: Iterable[inspect.Parameter]) -> Signature:
    """Read those of a function's parameters that a model is told of, and its Google-style docstring.

    Raises:
        TypeError: A parameter has no type, or one that JSON cannot carry.
    """
    description, texts = _read_docstring(inspect.getdoc(function) or "")
    return Signature(description, tuple(_parameter(function, parameter, texts) for parameter in parameters))


def _parameter(function: Callable[..., Any], parameter: inspect.Parameter, texts: dict[str, str]) -> Parameter:
    where = f"{function.__module__}.{function.__qualname__}, parameter `{parameter.name}`"
    if parameter.annotation is inspect.Parameter.empty or parameter.kind in (
        inspect.Parameter.VAR_POSITIONAL,
        inspect.Parameter.VAR_KEYWORD,
    ):
        raise TypeError(f"{where}: a tool's parameters are named and typed")
    hint = parameter.annotation
    if isinstance(hint, str):
        enclosing = inspect.getclosurevars(function).nonlocals if function.__closure__ else None
        hint = eval(hint, function.__globals__, enclosing)
    _check_type(hint, where)
    schema = _schema_of(hint)
    if parameter.name in texts:
        schema = {**schema, "description": texts[parameter.name]}
    if parameter.default not in (inspect.Parameter.empty, None):
        schema = {**schema, "default": msgspec.to_builtins(parameter.default)}
    return Parameter(parameter.name, hint, parameter.default, schema)


def _schema_of(hint: Any) -> dict[str, Any]:
    """The schema of a type; the plain ones, which most parameters have, are known without asking."""
    name = _JSON_NAMES.get(hint) if isinstance(hint, type) else None
    return {"type": name} if name else inline_references(msgspec.json.schema(hint))


def _check_type(hint: Any, where: str, inside: tuple[type, ...] = ()) -> None:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        _check_type(arguments[0], where, inside)
    elif origin in (Union, types.UnionType, list):
        for argument in arguments:
            _check_type(argument, where, inside)
    elif origin is dict and arguments[0] is str:
        _check_type(arguments[1], where, inside)
    elif isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        _check_struct(hint, where, inside)
    elif hint is not Any and hint not in _PLAIN and origin is not Literal:
        raise TypeError(
            f"{where}: {hint!r} is not one of str, int, float, bool, Literal, list, dict[str, …], Struct, Optional"
        )


def _check_struct(hint: type[msgspec.Struct], where: str, inside: tuple[type, ...]) -> None:
    if hint in inside:
        raise TypeError(f"{where}: the type {hint.__name__} contains itself, which a tool's schema cannot express")
    for field in msgspec.structs.fields(hint):
        _check_type(field.type, f"{where}.{field.name}", (*inside, hint))


def inline_references(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with each `$ref` into its own `$defs` replaced by what it names.

    Raises:
        TypeError: The schema contains itself.
    """
    definitions = schema.get("$defs", {})

    def resolve(node: Any, open_names: tuple[str, ...]) -> Any:
        if isinstance(node, list):
            return [resolve(item, open_names) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            name = node["$ref"].rsplit("/", 1)[-1]
            if name in open_names:
                raise TypeError(f"the type {name} contains itself, which a tool's schema cannot express")
            return resolve(definitions[name], (*open_names, name))
        return {key: resolve(value, open_names) for key, value in node.items() if key not in ("$defs", "title")}

    return dict(resolve(schema, ()))


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    head = text[: section.start()] if (section := _SECTION.search(text)) else text
    texts: dict[str, str] = {}
    if found := _ARGS.search(text):
        name = ""
        for line in text[found.end() :].splitlines()[1:]:
            if _SECTION.match(line):
                break
            if entry := re.match(r"^\s{4}(\w+)(?: \(.*?\))?:\s*(.*)$", line):
                name, texts[entry[1]] = entry[1], entry[2].strip()
            elif name and line.strip():
                texts[name] += " " + line.strip()
    return head.strip(), texts


def _explain(error: Exception, parameter: Parameter) -> str:
    """What is wrong with an argument; for a choice, what may be chosen."""
    text = str(error).replace("`$", "`" + parameter.name)
    options = [parameter.schema, *parameter.schema.get("anyOf", ())]
    choices = [str(value) for option in options for value in option.get("enum", ())]
    known = text.startswith("Invalid enum value") and " - at " not in text and choices
    return f"{text}, expected one of {', '.join(choices)}" if known else text


def _unknown(arguments: Iterable[str], names: list[str]) -> list[str]:
    unknown = [name for name in arguments if name not in names]
    if not unknown:
        return []
    from difflib import get_close_matches

    return [
        f"unknown argument `{name}`"
        + (f", did you mean `{near[0]}`?" if (near := get_close_matches(name, names, 1)) else f", known: {names}")
        for name in unknown
    ]
