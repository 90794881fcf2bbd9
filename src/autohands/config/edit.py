"""Changes one key of a configuration file and keeps the rest of it, comments included."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from autohands.config.check import Problem
from autohands.config.file import parse, read_file
from autohands.config.load import Loaded, problem_line, salvage
from autohands.config.paths import write_private
from autohands.protocols.errors import ConfigError

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

Kinds: TypeAlias = Mapping[str, type | None]


def set_value(path: Path, key: str, value: str, environ: Mapping[str, str], kinds: Kinds | None = None) -> Loaded:
    """Set a dotted `key` in the file at `path`, which is made if it is missing. The whole is checked, then written.

    `value` is TOML (`50`, `true`, `["a", "b"]`); what is no TOML, or does not fit as such, is text. `kinds` says who
    reads the tables of extensions, as for `load`. What was wrong with the file before does not stand in the way.

    Raises:
        ConfigError: The file is damaged, or something would be wrong with that value; it stays as it was.
    """
    from tomlkit import dumps
    from tomlkit import parse as parse_document

    text = _text(path)
    before = _judge(path, text, environ, kinds)[1]
    refused: list[str] = []
    for candidate in _readings(value):
        document = parse_document(text)
        _put(document, key, candidate)
        changed = dumps(document)
        loaded, problems = _judge(path, changed, environ, kinds)
        fresh = [each for each in problems if each not in before or _concerns(each, key)]
        if not fresh:
            write_private(path, changed.encode())
            return loaded
        refused = refused or [problem_line(each, loaded) for each in fresh]
    raise ConfigError("\n".join(refused) or f"{path}: {key}: {value!r} is not a value")


def add_rule(path: Path, rule: Mapping[str, Any], environ: Mapping[str, str], kinds: Kinds | None = None) -> Loaded:
    """Add a rule to the policy in the file at `path`; parameters are those of `set_value`. One that is there already
    is not added again.

    Raises:
        ConfigError: The file is damaged, or the rule makes no sense; it stays as it was.
    """
    from tomlkit import aot, dumps, item
    from tomlkit import parse as parse_document

    text = _text(path)
    before, problems_before = _judge(path, text, environ, kinds)
    document = parse_document(text)
    policy = document.setdefault("policy", {})
    rules = policy.setdefault("rule", aot())
    if dict(rule) in [dict(each) for each in rules]:
        return before
    rules.append(item(dict(rule)))
    changed = dumps(document)
    loaded, problems = _judge(path, changed, environ, kinds)
    if fresh := [problem_line(each, loaded) for each in problems if each not in problems_before]:
        raise ConfigError("\n".join(fresh))
    write_private(path, changed.encode())
    return loaded


def unset_value(path: Path, key: str, environ: Mapping[str, str], kinds: Kinds | None = None) -> Loaded:
    """Take a dotted `key`, or a whole table, out of the file at `path`; parameters are those of `set_value`.

    Raises:
        ConfigError: The file is damaged, has no such key, or needs it; it stays as it was.
    """
    from tomlkit import dumps
    from tomlkit import parse as parse_document

    text = _text(path)
    before = _judge(path, text, environ, kinds)[1]
    document = parse_document(text)
    _remove(document, key, path)
    changed = dumps(document)
    loaded, problems = _judge(path, changed, environ, kinds)
    if fresh := [problem_line(each, loaded) for each in problems if each not in before]:
        raise ConfigError("\n".join(fresh))
    write_private(path, changed.encode())
    return loaded


def _text(path: Path) -> str:
    """The document at a path, '' where there is none. Raises `ConfigError` where it is damaged."""
    if not path.exists():
        return ""
    read_file(path)
    return path.read_bytes().decode("utf-8-sig")


def _judge(path: Path, text: str, environ: Mapping[str, str], kinds: Kinds | None) -> tuple[Loaded, list[Problem]]:
    return salvage(parse(path, text.encode()), environ, extensions=kinds)


def _concerns(problem: Problem, key: str) -> bool:
    """Whether a problem is of a key, or of something in its table."""
    parts = key.split(".")
    return [str(part) for part in problem.path[: len(parts)]] == parts


def _readings(value: str) -> list[Any]:
    """What a text may mean: the TOML value that it is, then the text itself."""
    try:
        table = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return [value]
    return [table["value"], value] if len(table) == 1 else [value]


def _put(document: TOMLDocument, key: str, value: Any) -> None:
    table: Any = document
    *above, last = key.split(".")
    for part in above:
        if part not in table:
            from tomlkit import table as new_table

            table[part] = new_table()
        table = table[part]
        if not hasattr(table, "keys"):
            raise ConfigError(f"{key}: {part} is not a table")
    table[last] = value


def _remove(document: TOMLDocument, key: str, path: Path) -> None:
    table: Any = document
    *above, last = key.split(".")
    for part in above:
        table = table[part] if hasattr(table, "keys") and part in table else None
    if not hasattr(table, "keys") or last not in table:
        raise ConfigError(f"{path}: {key} is not set there", hint="`autohands config show` lists what is")
    del table[last]
