"""Extensions in a folder: `extension.toml`, and code that is loaded from the very bytes whose digest was checked."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from msgspec import Struct

from autohands.core.manifest import manifest_problems
from autohands.core.trust import Tree
from autohands.protocols.errors import ConfigError
from autohands.protocols.extension import Manifest

MANIFEST_NAME = "extension.toml"
_MOST_BYTES = 64 << 10
_ENTRY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_KEYS = ("name", "version", "entry", "api", "summary", "requires", "permissions")
_API = 1


class FolderManifest(Struct, frozen=True):
    """What `extension.toml` says: who it is, and the `module:attribute` of its code."""

    manifest: Manifest
    entry: str


def read_manifest(folder: Path) -> FolderManifest:
    """Read and check a folder's `extension.toml`; no code runs.

    Raises:
        ConfigError: Every problem, one a line, with the file's name.
    """
    path = folder / MANIFEST_NAME
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ConfigError(f"{path}: larger than {_MOST_BYTES >> 10} KiB")
        table = tomllib.loads(data.decode())
    except FileNotFoundError:
        raise ConfigError(f"{path}: missing", hint="it needs name, version and entry") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from None
    except (OSError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: {error}") from error
    problems = _key_problems(table)
    manifest = Manifest(
        name=table.get("name", ""),
        version=table.get("version", ""),
        summary=table.get("summary", ""),
        requires=_tuple(table.get("requires", ())),
        permissions=_tuple(table.get("permissions", ())),
    )
    problems += [text for text in manifest_problems(manifest) if text.split(maxsplit=1)[0].strip(":") in table]
    if not problems and manifest.name != folder.name:
        problems.append(f"name {manifest.name!r} is not the folder's name {folder.name!r}")
    if problems:
        raise ConfigError("\n".join(f"{path}: {problem}" for problem in problems))
    return FolderManifest(manifest, table["entry"])


def load_entry(folder: Path, declared: FolderManifest, tree: Tree) -> Any:
    """Run the code of `tree` and return what `entry` names. What its import raises passes through."""
    digest = tree.digest.partition(":")[2][:16]
    package = f"autohands_folder_{declared.manifest.name.replace('-', '_')}_{digest}"
    if package not in sys.modules:
        sys.meta_path.insert(0, _TreeFinder(package, folder, tree.sources))
    module, _, attribute = declared.entry.partition(":")
    return getattr(import_module(f"{package}.{module}"), attribute)


class _TreeFinder(InspectLoader):
    """Finds and loads the modules of one package from bytes in memory: no `.pyc`, no second look at the disk."""

    def __init__(self, package: str, folder: Path, sources: Mapping[str, bytes]) -> None:
        self._package = package
        self._folder = folder
        self._sources = sources

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where a module of the package is, or None for all others."""
        relative = self._relative(fullname)
        if relative is None and fullname != self._package:
            return None
        origin = str(self._folder / relative) if relative else None
        spec = ModuleSpec(fullname, self, origin=origin, is_package=self.is_package(fullname))
        spec.has_location = relative is not None
        return spec

    def is_package(self, fullname: str) -> bool:
        """Whether a module may have others beneath it."""
        relative = self._relative(fullname)
        return relative is None or relative.endswith("/__init__.py")

    def get_source(self, fullname: str) -> str:
        """The text of a module; the package itself, which only names the folder, has none."""
        from importlib.util import decode_source

        relative = self._relative(fullname)
        return decode_source(self._sources[relative]) if relative else ""

    def get_code(self, fullname: str) -> Any:
        """A module, compiled from the bytes that were checked."""
        relative = self._relative(fullname)
        return self.source_to_code(self._sources[relative] if relative else b"", str(self._folder / (relative or "")))

    def _relative(self, fullname: str) -> str | None:
        """The path of a module within the folder, if it is one of ours."""
        if not fullname.startswith(f"{self._package}."):
            return None
        stem = fullname[len(self._package) + 1 :].replace(".", "/")
        return next((path for path in (f"{stem}/__init__.py", f"{stem}.py") if path in self._sources), None)


def _key_problems(table: Mapping[str, Any]) -> list[str]:
    from difflib import get_close_matches

    problems = [f"{key} is missing" for key in ("name", "version", "entry") if key not in table]
    for key in table:
        if key not in _KEYS:
            near = get_close_matches(key, _KEYS, 1) or [f"one of {', '.join(_KEYS)}"]
            problems.append(f"unknown key {key!r}; did you mean {near[0]}?")
    if table.get("api", _API) != _API:
        problems.append(f"api is {table['api']!r}; this program knows {_API}")
    entry = table.get("entry", "extension:extension")
    if not isinstance(entry, str) or not _ENTRY.fullmatch(entry):
        problems.append(f"entry {entry!r} is not module:attribute, like hello:extension")
    return problems


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
