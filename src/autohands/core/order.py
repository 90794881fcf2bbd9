"""The order in which extensions start: by what they require, with everything that stands in the way named at once."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from operator import eq, ge, gt, le, lt, ne
from typing import Any, TypeAlias

from msgspec import Struct

from autohands.protocols.extension import Manifest

VERSION = re.compile(r"(\d+(?:\.\d+)*)(?:[-.]?([a-z][a-z0-9.]*))?", re.ASCII)
_REQUIREMENT = re.compile(r"\s*([a-z][a-z0-9-]*)\s*((?:[<>=!]=?.*)?)", re.ASCII | re.DOTALL)
_BOUND = re.compile(r"\s*(==|!=|>=|<=|>|<)\s*([0-9][0-9a-z.-]*)\s*", re.ASCII)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {"==": eq, "!=": ne, ">=": ge, "<=": le, ">": gt, "<": lt}

Version: TypeAlias = tuple[tuple[int, ...], bool, str]


class Requirement(Struct, frozen=True):
    """Another extension by name, within version bounds: `tools-web>=1,<2`."""

    name: str
    bounds: tuple[tuple[str, str], ...] = ()

    def admits(self, version: str) -> bool:
        """Whether `version` is within the bounds."""
        found = read_version(version)
        return all(_COMPARE[sign](found, read_version(bound)) for sign, bound in self.bounds)


class Order(Struct, frozen=True):
    """Who starts, in which order, and why the others cannot, by name."""

    names: tuple[str, ...]
    problems: dict[str, str]


def read_version(text: str) -> Version:
    """A version that compares: `1.2` equals `1.2.0`, and `1.2rc1` comes before `1.2`.

    Raises:
        ValueError: It is none.
    """
    found = VERSION.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is not a version; write it like 1.2.0")
    numbers = [int(part) for part in found[1].split(".")]
    while len(numbers) > 1 and not numbers[-1]:
        numbers.pop()
    return tuple(numbers), found[2] is None, found[2] or ""


def read_requirement(text: str) -> Requirement:
    """Read `NAME`, `NAME>=1` or `NAME>=1,<2`.

    Raises:
        ValueError: It is none.
    """
    found = _REQUIREMENT.fullmatch(text)
    bounds = [_BOUND.fullmatch(part) for part in found[2].split(",")] if found and found[2] else []
    if not found or not all(bounds):
        raise ValueError(f"{text!r} is not a requirement; write it like tools-web>=1,<2")
    pairs = tuple((bound[1], bound[2]) for bound in bounds if bound)
    for _, version in pairs:
        read_version(version)
    return Requirement(found[1], pairs)


def start_order(manifests: Iterable[Manifest]) -> Order:
    """Sort by `requires`, otherwise keeping the order given.

    Missing and unfit requirements, cycles, and whoever needs one of those are left out, each with its reason.
    """
    known = {manifest.name: manifest for manifest in manifests}
    problems: dict[str, str] = {}
    needs: dict[str, list[str]] = {}
    for name, manifest in known.items():
        needs[name], unmet = _check(manifest, known)
        if unmet:
            problems[name] = "; ".join(unmet)
    for name in known:
        if name not in problems and (path := _cycle(name, needs)):
            problems[name] = f"requires itself: {' → '.join(path)}"
    return Order(_sorted(known, needs, problems), problems)


def dependants(name: str, manifests: Iterable[Manifest]) -> list[str]:
    """Who requires `name`, directly or through others, in the order given."""
    needs = {each.name: {read_requirement(text).name for text in each.requires} for each in manifests}
    found = {name}
    while more := {each for each, required in needs.items() if each not in found and required & found}:
        found |= more
    return [each for each in needs if each in found - {name}]


def _check(manifest: Manifest, known: Mapping[str, Manifest]) -> tuple[list[str], list[str]]:
    """What a manifest requires of those known, and what of it is not met."""
    needs: list[str] = []
    unmet: list[str] = []
    for text in manifest.requires:
        try:
            requirement = read_requirement(text)
        except ValueError as error:
            unmet.append(str(error))
            continue
        present = known.get(requirement.name)
        if present is None:
            unmet.append(f"requires {text}, which is not there")
        elif not requirement.admits(present.version):
            unmet.append(f"requires {text}, but {present.version} is there")
        else:
            needs.append(requirement.name)
    return needs, unmet


def _cycle(start: str, needs: Mapping[str, list[str]]) -> list[str]:
    """The shortest way from `start` through requirements back to it, or nothing."""
    came_from: dict[str, str] = {}
    waiting = deque([start])
    while waiting:
        here = waiting.popleft()
        for there in needs[here]:
            if there == start:
                path = [start]
                while here != start:
                    path.append(here)
                    here = came_from[here]
                return [start, *reversed(path)]
            if there not in came_from:
                came_from[there] = here
                waiting.append(there)
    return []


def _sorted(known: Iterable[str], needs: Mapping[str, list[str]], problems: dict[str, str]) -> tuple[str, ...]:
    """Requirements first; adds to `problems` whoever requires one that has a problem."""
    order: dict[str, None] = {}
    pending = [name for name in known if name not in problems]
    while pending:
        later = []
        for name in pending:
            if failed := [each for each in needs[name] if each in problems]:
                problems[name] = f"requires {failed[0]}, which cannot start"
            elif all(each in order for each in needs[name]):
                order[name] = None
            else:
                later.append(name)
        pending = later
    return tuple(order)
