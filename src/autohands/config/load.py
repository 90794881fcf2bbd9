"""The configuration in force: defaults ← file ← environment ← options, each value with its origin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from autohands.config.check import Builder, Problem, is_struct, nearest, struct_in
from autohands.config.file import ConfigFile, read_file
from autohands.config.lines import KeyPath, LineIndex, dotted
from autohands.config.schema import Config
from autohands.config.substitute import Substitution
from autohands.protocols.errors import ConfigError

FILE_NAME = "config.toml"
_PREFIX = "AUTOHANDS_"


class Loaded(Struct, frozen=True, kw_only=True):
    """A valid configuration: the values, the tables of extensions as their own structs, and where each value is from.

    `variables` names the environment variables that went into the value at a path.
    """

    config: Config
    file: ConfigFile
    extensions: dict[str, Struct]
    variables: dict[KeyPath, tuple[str, ...]]
    origins: dict[KeyPath, str]

    def origin(self, path: KeyPath) -> str:
        """Where the value at a path is from: `default`, `FILE:LINE`, `environment NAME` or `option`."""
        return _origin(path, self.origins, self.file) or "default"


def load(
    home: Path,
    environ: Mapping[str, str],
    *,
    file: Path | None = None,
    options: Mapping[str, Any] | None = None,
    extensions: Mapping[str, type | None] | None = None,
) -> Loaded:
    """Load the configuration of a state directory.

    `file` is read in place of `home/config.toml` and must exist. `options` come from flags or a caller: nested, or with
    dotted keys (`limits.turns`); None sets nothing. `extensions` says who reads the tables `[extensions.NAME]`: a
    struct type, None for one that takes no configuration, `dict` for a table that is left as it is. Without it all are
    left as they are.

    Raises:
        ConfigError: Everything that is wrong, one problem a line, with file, line, key and the nearest valid name.
    """
    source = _read(home, file)
    return compose(source, environ, options=options, extensions=extensions)


def compose(
    source: ConfigFile,
    environ: Mapping[str, str],
    *,
    options: Mapping[str, Any] | None = None,
    extensions: Mapping[str, type | None] | None = None,
) -> Loaded:
    """Put a file that was read, the environment and options together. Parameters and errors are those of `load`."""
    substitution = Substitution(environ)
    table = substitution.apply(source.table)
    origins: dict[KeyPath, str] = {}
    lenient = dict.fromkeys(substitution.used)
    for path, name in variables():
        if environ.get(name):
            _put(table, path, environ[name])
            origins[path] = f"environment {name}"
            lenient[path] = None
    for path, value in _flat(options or {}):
        _put(table, path, value)
        origins[path] = "option"
    builder = Builder(lenient)
    config = builder.build(Config, table, ())
    built = _build_extensions(builder, table.get("extensions"), extensions)
    if problems := [*substitution.problems, *builder.problems]:
        raise _error(problems, origins, source)
    return Loaded(config=config, file=source, extensions=built, variables=substitution.used, origins=origins)


def variables() -> list[tuple[KeyPath, str]]:
    """The keys that an environment variable can set, with its name: `limits.turns` is AUTOHANDS_LIMITS_TURNS."""
    return [(path, _PREFIX + "_".join(map(str, path)).upper()) for path, _ in scalars(Config, ())]


def scalars(kind: type[Struct], path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """The keys of fixed tables that hold one value, with their types."""
    for field in msgspec.structs.fields(kind):
        inner = struct_in(field.type)
        if is_struct(inner):
            yield from scalars(inner, (*path, field.encode_name))
        elif not hasattr(inner, "__origin__") or inner.__origin__ not in (dict, tuple):
            yield (*path, field.encode_name), field.type


def _read(home: Path, file: Path | None) -> ConfigFile:
    path = file or home / FILE_NAME
    if file is None and not path.exists() and not path.is_symlink():
        return ConfigFile(path, {}, LineIndex(""))
    return read_file(path)


def _build_extensions(builder: Builder, tables: Any, known: Mapping[str, type | None] | None) -> dict[str, Struct]:
    built: dict[str, Struct] = {}
    if known is None or not isinstance(tables, dict):
        return built
    for name, table in tables.items():
        path = ("extensions", name)
        kind = known.get(name, Struct)
        if name not in known:
            builder.problems.append(Problem(path, f"there is no such extension{nearest(name, known)}"))
        elif kind is None:
            builder.build(Struct, table, path)
        elif is_struct(kind):
            built[name] = builder.build(kind, table, path)
    return built


def _flat(table: Mapping[str, Any], path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    for key, value in table.items():
        here = (*path, *key.split("."))
        if isinstance(value, Mapping):
            yield from _flat(value, here)
        elif value is not None:
            yield here, value


def _put(table: dict[str, Any], path: KeyPath, value: Any) -> None:
    inner: Any = table
    for part in path[:-1]:
        inner = inner.setdefault(part, {})
        if not isinstance(inner, dict):
            return  # that it is none is reported when it is built
    inner[path[-1]] = value


def _origin(path: KeyPath, origins: Mapping[KeyPath, str], source: ConfigFile) -> str | None:
    above = path
    while above:
        if above in origins:
            return origins[above]
        above = above[:-1]
    if line := source.lines.find(path):
        return f"{source.path}:{line}"
    return next((origin for below, origin in origins.items() if below[: len(path)] == path), None)


def _error(problems: list[Problem], origins: Mapping[KeyPath, str], source: ConfigFile) -> ConfigError:
    ordered = sorted(problems, key=lambda problem: source.lines.find(problem.path) or 0)
    where = ((_origin(problem.path, origins, source) or str(source.path), problem) for problem in ordered)
    return ConfigError(
        "\n".join(f"{place}: {dotted(problem.path)}: {problem.text}" for place, problem in where),
        hint="`autohands config show` shows each value with its origin, config.example.toml every key",
    )
