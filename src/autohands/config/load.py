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
        if _is_set(path, self.origins) or _stands(self.file.table, path):
            return _origin(path, self.origins, self.file) or "default"
        return "default"


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
    source = read_source(home, file)
    return compose(source, environ, options=options, extensions=extensions)


def compose(
    source: ConfigFile,
    environ: Mapping[str, str],
    *,
    options: Mapping[str, Any] | None = None,
    extensions: Mapping[str, type | None] | None = None,
) -> Loaded:
    """Put a file that was read, the environment and options together. Parameters and errors are those of `load`."""
    mixture = _mix(source, environ, options or {})
    loaded, problems = _build(mixture, extensions)
    if loaded is None:
        raise _error(problems, mixture)
    return loaded


def salvage(
    source: ConfigFile, environ: Mapping[str, str], *, extensions: Mapping[str, type | None] | None = None
) -> tuple[Loaded, list[Problem]]:
    """What of a file and the environment makes sense, and what is wrong with the rest."""
    mixture = _mix(source, environ, {})
    loaded, problems = _build(mixture, extensions)
    wrong = problems
    while loaded is None:
        mixture.unset.clear()
        for problem in wrong:
            _drop(mixture.table, problem.path)
        loaded, wrong = _build(mixture, extensions)
    return loaded, problems


def problem_line(problem: Problem, loaded: Loaded) -> str:
    """A problem with its place: `FILE:LINE: key: what is wrong`."""
    place = _origin(problem.path, loaded.origins, loaded.file) or str(loaded.file.path)
    return f"{place}: {dotted(problem.path)}: {problem.text}"


class _Mixture(Struct, frozen=True, kw_only=True):
    """Everything that was given, in one table; `unset` are variables in it that are not set."""

    table: dict[str, Any]
    source: ConfigFile
    origins: dict[KeyPath, str]
    lenient: dict[KeyPath, None]
    used: dict[KeyPath, tuple[str, ...]]
    unset: list[Problem]


def _mix(source: ConfigFile, environ: Mapping[str, str], options: Mapping[str, Any]) -> _Mixture:
    substitution = Substitution(environ)
    table = substitution.apply(source.table)
    origins: dict[KeyPath, str] = {}
    lenient = dict.fromkeys(substitution.used)
    for path, name in variables():
        if environ.get(name):
            _put(table, path, environ[name])
            origins[path] = f"environment {name}"
            lenient[path] = None
    for path, value in _flat(options):
        _put(table, path, value)
        origins[path] = "option"
    return _Mixture(
        table=table,
        source=source,
        origins=origins,
        lenient=lenient,
        used=substitution.used,
        unset=substitution.problems,
    )


def _build(
    mixture: _Mixture, extensions: Mapping[str, type | None] | None
) -> tuple[Loaded, list[Problem]] | tuple[None, list[Problem]]:
    """The configuration that a mixture makes, or everything that is wrong with it."""
    builder = Builder(mixture.lenient)
    config = builder.build(Config, mixture.table, ())
    built = _build_extensions(builder, mixture.table.get("extensions"), extensions)
    if problems := [*mixture.unset, *builder.problems]:
        return None, problems
    loaded = Loaded(
        config=config, file=mixture.source, extensions=built, variables=mixture.used, origins=mixture.origins
    )
    return loaded, []


def _drop(table: dict[str, Any], path: KeyPath) -> None:
    """Take out what stands at a path, or the nearest table above it that is there; of a list the whole."""
    for part, below in zip(path, [*path[1:], None], strict=True):
        inner = table.get(str(part))
        if not isinstance(inner, dict) or below not in inner:
            table.pop(str(part), None)
            return
        table = inner


def _stands(value: Any, path: KeyPath) -> bool:
    """Whether a file's table has a value at a path."""
    for part in path:
        held = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        if part not in held:
            return False
        value = value[part]
    return True


def _is_set(path: KeyPath, origins: Mapping[KeyPath, str]) -> bool:
    """Whether the environment or an option sets a path, something above it or below it."""
    return any(path[: len(each)] == each or each[: len(path)] == path for each in origins)


def variables() -> list[tuple[KeyPath, str]]:
    """The keys that an environment variable can set, with its name: `limits.turns` is AUTOHANDS_LIMITS_TURNS."""
    return [(path, _PREFIX + "_".join(map(str, path)).upper()) for path, _ in scalars(Config, ())]


def strays(environ: Mapping[str, str]) -> list[str]:
    """One line on each variable that looks as if it should set a key, and sets none."""
    from difflib import get_close_matches

    known = [name for _, name in variables()]
    tables = tuple({f"{_PREFIX}{path[0]}_".upper() for path, _ in variables() if len(path) > 1})
    lines = []
    for name in sorted(environ):
        if name.startswith(_PREFIX) and name not in known:
            near = get_close_matches(name, known, 1, 0.85)
            if near or name.startswith(tables):
                meant = f"did you mean {near[0]}?" if near else "`autohands config show` lists the keys"
                lines.append(f"the variable {name} sets nothing; {meant}")
    return lines


def scalars(kind: type[Struct], path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """The keys of fixed tables that hold one value, with their types."""
    for field in msgspec.structs.fields(kind):
        inner = struct_in(field.type)
        if is_struct(inner):
            yield from scalars(inner, (*path, field.encode_name))
        elif not hasattr(inner, "__origin__") or inner.__origin__ not in (dict, tuple):
            yield (*path, field.encode_name), field.type


def read_source(home: Path, file: Path | None) -> ConfigFile:
    """The file of a state directory, empty where there is none; or `file`, which must exist. Raises `ConfigError`."""
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


def _error(problems: list[Problem], mixture: _Mixture) -> ConfigError:
    source, origins = mixture.source, mixture.origins
    ordered = sorted(problems, key=lambda problem: source.lines.find(problem.path) or 0)
    where = ((_origin(problem.path, origins, source) or str(source.path), problem) for problem in ordered)
    return ConfigError(
        "\n".join(f"{place}: {dotted(problem.path)}: {problem.text}" for place, problem in where),
        hint="`autohands config show` shows each value with its origin, config.example.toml every key",
    )
