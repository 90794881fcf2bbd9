"""Finds extensions: by entry point, and in the folders of the state directory whose digest the owner has agreed to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from autohands.core.foreign import contained, describe
from autohands.core.installed import EntryPoint, entry_points
from autohands.core.manifest import manifest_problems
from autohands.core.trust import Lock, Trusted, read_lock, read_tree, write_lock
from autohands.protocols.errors import AutoHandsError, NotFound
from autohands.protocols.extension import Extension, Manifest

if TYPE_CHECKING:
    from autohands.core.folder import FolderManifest

GROUP = "autohands.extensions"
FOLDER_NAME = "extensions"
_OURS = "autohands.extensions."
Status: TypeAlias = Literal["ready", "untrusted", "broken", "disabled", "missing-extra"]


class Found(Struct, frozen=True, kw_only=True):
    """An extension that was found, and whether it can start: only one that is `ready` has its code loaded."""

    name: str
    origin: str
    status: Status
    reason: str = ""
    manifest: Manifest | None = None
    extension: Extension | None = None


def discover(home: Path) -> list[Found]:
    """Everything that is there: the shipped ones, those of other distributions, those in `home/extensions`, by name.

    Raises:
        ConfigError: `autohands.lock` is damaged.
    """
    lock = read_lock(home)
    found: dict[str, Found] = {}
    broken: list[Found] = []
    for each in (*_from_entry_points(lock), *_from_folders(home / FOLDER_NAME, lock)):
        if each.name in found:
            reason = f"the name {each.name!r} belongs to {found[each.name].origin}"
            broken.append(replace(each, status="broken", reason=reason, extension=None))
        else:
            found[each.name] = each
    return [*found.values(), *broken]


def enable(home: Path, name: str) -> Found:
    """Let an extension run from the next start on. A folder's digest is recorded: a later change makes it inactive.

    Raises:
        NotFound: There is none of that name.
        ConfigError: Its folder must not be trusted, or its manifest is wrong.
    """
    folder = home / FOLDER_NAME / name
    lock = read_lock(home)
    if not _is_entry_point(name):
        if folder not in _folders(home / FOLDER_NAME):
            raise NotFound(f"there is no extension named {name!r}", hint="`autohands extension list` shows all")
        from autohands.core.folder import read_manifest

        manifest = read_manifest(folder).manifest
        trusted = Trusted(str(folder), manifest.version, read_tree(folder).digest)
        lock = replace(lock, trusted={**lock.trusted, name: trusted})
    write_lock(home, replace(lock, disabled=tuple(each for each in lock.disabled if each != name)))
    return next(each for each in discover(home) if each.name == name)


def disable(home: Path, name: str) -> None:
    """Keep an extension from running from the next start on, and forget a folder's digest.

    Raises:
        NotFound: There is none of that name.
    """
    if not _is_entry_point(name) and home / FOLDER_NAME / name not in _folders(home / FOLDER_NAME):
        raise NotFound(f"there is no extension named {name!r}", hint="`autohands extension list` shows all")
    lock = read_lock(home)
    trusted = {key: value for key, value in lock.trusted.items() if key != name}
    write_lock(home, replace(lock, trusted=trusted, disabled=tuple(sorted({*lock.disabled, name}))))


def _entry_points() -> list[EntryPoint]:
    """The group's entry points: ours first, so that nobody takes their names, then by name."""
    found = {(point.name, point.value): point for point in entry_points(group=GROUP)}
    return sorted(found.values(), key=lambda point: (not point.value.startswith(_OURS), point.name, point.value))


def _is_entry_point(name: str) -> bool:
    return any(point.name == name for point in _entry_points())


def _from_entry_points(lock: Lock) -> Iterable[Found]:
    for point in _entry_points():
        found = Found(name=point.name, origin=f"entry point {point.value}", status="broken")
        if point.name in lock.disabled:
            yield replace(found, status="disabled", reason=_enable_with(point.name))
        else:
            yield _attempt(found, partial(_load_point, point, found))


def _load_point(point: EntryPoint, found: Found) -> Found:
    try:
        value = point.load()
    except ModuleNotFoundError as error:
        extra = _extra_of(point)
        if extra is None or (error.name or "").partition(".")[0] == point.module.partition(".")[0]:
            raise
        return replace(found, status="missing-extra", reason=_install(point, extra, [error.name or "a package"]))
    found = _checked(found, value)
    extra = found.manifest.extra if found.manifest else None
    if found.status == "ready" and extra and (missing := _missing(point, extra)):
        return replace(found, status="missing-extra", reason=_install(point, extra, missing), extension=None)
    return found


def _from_folders(root: Path, lock: Lock) -> Iterable[Found]:
    for folder in _folders(root):
        found = Found(name=folder.name, origin=str(folder), status="broken")
        yield _attempt(found, partial(_load_folder, folder, found, lock))


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _load_folder(folder: Path, found: Found, lock: Lock) -> Found:
    from autohands.core.folder import load_entry, read_manifest

    declared = read_manifest(folder)
    found = replace(found, manifest=declared.manifest)
    if found.name in lock.disabled:
        return replace(found, status="disabled", reason=_enable_with(found.name))
    tree = read_tree(folder)
    trusted = lock.trusted.get(found.name)
    if trusted is None or trusted.path != str(folder):
        return replace(found, status="untrusted", reason=f"not enabled yet; {_enable_with(found.name)}")
    if trusted.digest != tree.digest:
        reason = f"digest_mismatch: changed since it was enabled; look at it, then {_enable_with(found.name)}"
        return replace(found, status="untrusted", reason=reason)
    checked = _checked(found, load_entry(folder, declared, tree))
    return _as_declared(checked, declared)


def _as_declared(found: Found, declared: FolderManifest) -> Found:
    """Refuse code that is not what its `extension.toml`, which the owner read, says."""
    said, real = declared.manifest, found.manifest
    if found.status != "ready" or real is None:
        return found
    differs = (said.name, said.version) != (real.name, real.version)
    if differs or not set(real.permissions) <= set(said.permissions):
        reason = f"extension.toml declares {_brief(said)}, its code {_brief(real)}"
        return replace(found, status="broken", reason=reason, extension=None)
    return found


def _brief(manifest: Manifest) -> str:
    return f"{manifest.name} {manifest.version} ({', '.join(manifest.permissions) or 'no permissions'})"


def _attempt(found: Found, load: Callable[[], Found]) -> Found:
    """Load, or say why that failed."""
    failures: list[BaseException] = []
    with contained(failures.append):
        found = load()
    if not failures:
        return found
    error = failures[0]
    reason = error.text if isinstance(error, AutoHandsError) else describe(error)
    return replace(found, status="broken", reason=reason)


def _checked(found: Found, value: Any) -> Found:
    """What was loaded, if it is an extension and its manifest is in order."""
    manifest = getattr(value, "manifest", None)
    if not isinstance(manifest, Manifest) or not callable(getattr(value, "run", None)):
        return replace(found, reason=f"it names {type(value).__name__}, which is no Extension")
    problems = manifest_problems(manifest)
    if not problems and manifest.name != found.name:
        problems = [f"it is registered as {found.name!r} and calls itself {manifest.name!r}"]
    if problems:
        return replace(found, reason="; ".join(problems))
    return replace(found, status="ready", manifest=manifest, extension=value)


def _extra_of(point: EntryPoint) -> str | None:
    """The extra that belongs to an entry point: the one it names, else the one that has its name."""
    distribution = point.declared_by()
    if distribution is None:
        return None
    provided = distribution.metadata.get_all("Provides-Extra") or []
    return next((extra for extra in (*point.extras, point.name) if extra in provided), None)


def _missing(point: EntryPoint, extra: str) -> list[str]:
    """The packages of an extra that are not installed; requirements with further conditions are left alone."""
    from importlib.metadata import PackageNotFoundError, version

    missing = []
    distribution = point.declared_by()
    for text in (distribution and distribution.requires) or []:
        name, _, marker = text.partition(";")
        package = re.match(r"[\w.-]+", name.strip())
        if package and re.fullmatch(rf"\s*extra\s*==\s*['\"]{re.escape(extra)}['\"]\s*", marker):
            try:
                version(package[0])
            except PackageNotFoundError:
                missing.append(package[0])
    return missing


def _install(point: EntryPoint, extra: str, missing: list[str]) -> str:
    distribution = point.declared_by()
    name = distribution.name if distribution else "autohands"
    return f"needs {', '.join(missing)}: pip install '{name}[{extra}]'"


def _enable_with(name: str) -> str:
    return f"`autohands extension enable {name}`"
