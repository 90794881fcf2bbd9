"""What a manifest must look like, checked whole: every problem is named, with the remedy where there is one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from autohands.core.order import read_requirement, read_version
from autohands.protocols.extension import Manifest

PERMISSIONS = ("network", "process", "files")
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", re.ASCII)
_TOOL = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]*", re.ASCII)
_NAME_LENGTH = 64
_SUMMARY_LENGTH = 500
_DESCRIPTION_LENGTH = 20_000
_LIST_LENGTH = 50


def manifest_problems(manifest: Manifest) -> list[str]:
    """Everything that is wrong with a manifest, whatever Python values somebody put into its fields."""
    return [
        *name_problems(manifest.name),
        *_version_problems(manifest.version),
        *_text_problems("summary", manifest.summary, _SUMMARY_LENGTH),
        *_requires_problems(manifest.requires),
        *_permission_problems(manifest.permissions),
        *([] if manifest.extra is None else _text_problems("extra", manifest.extra, _NAME_LENGTH)),
    ]


def name_problems(name: object) -> list[str]:
    """What is wrong with an extension's name; letters that only look like ASCII ones are named."""
    if not isinstance(name, str):
        return [f"name must be text, not {_kind(name)}"]
    if len(name) > _NAME_LENGTH:
        return [f"name is {len(name):,} characters long; at most {_NAME_LENGTH}"]
    if strange := _strange(name):
        return [f"name {name!a} has {strange}; use a-z, 0-9 and -"]
    if not _NAME.fullmatch(name):
        return [f"name {name!r} is not lower-case words joined by -, like tools-browser"]
    return []


def tool_problems(name: object, description: object) -> list[str]:
    """What is wrong with a tool's name or description, as models and their vendors see it."""
    problems = _text_problems(f"description of {str(name)[:_NAME_LENGTH]!a}", description, _DESCRIPTION_LENGTH)
    if not isinstance(name, str) or len(name) > _NAME_LENGTH:
        return [f"a tool's name is text of at most {_NAME_LENGTH} characters", *problems]
    if strange := _strange(name):
        return [f"tool name {name!a} has {strange}; use letters, digits, _ and -", *problems]
    if not _TOOL.fullmatch(name):
        return [f"tool name {name!r} is not a letter followed by letters, digits, _ and -", *problems]
    return problems


def _version_problems(version: object) -> Iterator[str]:
    if not isinstance(version, str):
        yield f"version must be text, not {_kind(version)}"
        return
    try:
        read_version(version[:_NAME_LENGTH])
    except ValueError as error:
        yield f"version: {error}"


def _text_problems(field: str, value: object, most: int) -> list[str]:
    if not isinstance(value, str):
        return [f"{field} must be text, not {_kind(value)}"]
    if len(value) > most:
        return [f"{field} is {len(value):,} characters long; at most {most:,}"]
    return []


def _requires_problems(requires: object) -> Iterator[str]:
    yield from _list_problems("requires", requires)
    for text in requires if isinstance(requires, tuple | list) else ():
        try:
            read_requirement(str(text)[: 4 * _NAME_LENGTH])
        except ValueError as error:
            yield f"requires: {error}"


def _permission_problems(permissions: object) -> Iterator[str]:
    yield from _list_problems("permissions", permissions)
    for text in permissions if isinstance(permissions, tuple | list) else ():
        if text not in PERMISSIONS:
            yield f"permissions: {str(text)[:_NAME_LENGTH]!r} is none of {', '.join(PERMISSIONS)}"


def _list_problems(field: str, value: object) -> Iterator[str]:
    if not isinstance(value, tuple | list):
        yield f"{field} must be a list of texts, not {_kind(value)}"
    elif len(value) > _LIST_LENGTH:
        yield f"{field} has {len(value):,} entries; at most {_LIST_LENGTH}"


def _strange(name: str) -> str:
    """The first character outside ASCII, with its Unicode name."""
    from unicodedata import name as name_of

    return next((f"U+{ord(char):04X} {name_of(char, 'no name')}" for char in name if not char.isascii()), "")


def _kind(value: object) -> str:
    return "nothing" if value is None else type(value).__name__
