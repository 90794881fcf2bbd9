"""The entry points of a group, read from the folders of the installed distributions.

`importlib.metadata` tells the same, but importing it takes longer than importing all of this package; it is asked only
where there is more than folders. Sources: packaging.python.org, the specifications "Entry points" and "Recording
installed projects".
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial, reduce
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from importlib.metadata import Distribution

_FOLDERS = (".dist-info", ".egg-info")


class EntryPoint(Struct, frozen=True):
    """A name for `module:attribute`, with extras in brackets behind it; `declared_by` gives the distribution."""

    name: str
    value: str
    declared_by: Callable[[], Distribution | None]

    @property
    def module(self) -> str:
        """The module that it names."""
        return self._target.partition(":")[0].strip()

    @property
    def extras(self) -> list[str]:
        """The extras that it names."""
        return re.findall(r"[\w.-]+", self.value.partition("[")[2])

    def load(self) -> Any:
        """Import the module and take the attribute out of it; whatever that raises goes through."""
        attribute = self._target.partition(":")[2].strip()
        return reduce(getattr, filter(None, attribute.split(".")), import_module(self.module))

    @property
    def _target(self) -> str:
        return self.value.partition("[")[0]


def entry_points(group: str) -> list[EntryPoint]:
    """The group's entry points. Of distributions of one name only the first on `sys.path` counts."""
    if _only_folders():
        return [point for folder in _distributions() for point in _declared(folder, group)]
    from importlib import metadata

    return [
        EntryPoint(point.name, point.value, partial(getattr, point, "dist"))
        for point in metadata.entry_points(group=group)
    ]


def _only_folders() -> bool:
    """Whether no distribution can lie elsewhere than in a folder of `sys.path`: in an archive, or with a finder."""
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_distributions")]
    return finders == [PathFinder] and not any(place.endswith(".egg") or Path(place).is_file() for place in sys.path)


def _distributions() -> Iterator[Path]:
    """The metadata folder of each distribution."""
    seen: set[str] = set()
    for place in dict.fromkeys(sys.path):
        for name in _listed(place or "."):
            distribution = re.sub(r"[-_.]+", "_", name.rpartition(".")[0].partition("-")[0]).lower()
            if distribution not in seen:
                seen.add(distribution)
                yield Path(place, name)


def _listed(place: str) -> list[str]:
    try:
        return [name for name in os.listdir(place) if name.endswith(_FOLDERS)]  # noqa: PTH208  a string is all it takes
    except OSError:
        return []


def _declared(folder: Path, group: str) -> Iterator[EntryPoint]:
    try:
        text = (folder / "entry_points.txt").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line.strip("[]")
        elif section == group and line and not line.startswith("#"):
            name, _, value = line.partition("=")
            yield EntryPoint(name.strip(), value.strip(), partial(_distribution, folder))


def _distribution(folder: Path) -> Distribution:
    from importlib.metadata import Distribution

    return Distribution.at(folder)
