"""Time zones: found by their IANA names, and when a clock in one shows a time."""

from __future__ import annotations

import os
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from autohands.protocols.errors import BadRequest

_LOCALTIME: Final = Path("/etc/localtime")
_TIMEZONE: Final = Path("/etc/timezone")


def zone(name: str) -> tzinfo:
    """A zone by its IANA name.

    Raises:
        BadRequest: There is none of that name; the hint has the nearest.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadRequest(f"timezone {name[:100]!r} is unknown", hint=_nearest(name[:100])) from None


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    known = {each.casefold(): each for each in available_timezones()}
    if not known:
        return "this machine has no time zone data: install the Python package tzdata, or use UTC"
    cities = {each.rpartition("/")[2].casefold(): each for each in known.values()}
    wanted = name.casefold().replace(" ", "_")
    near = get_close_matches(wanted, [*known, *cities], n=3, cutoff=0.7)
    names = list(dict.fromkeys(known.get(each) or cities[each] for each in near))
    return f"did you mean {' or '.join(names)}?" if names else "use an IANA name like Europe/Berlin, or UTC"


def local_zone() -> str:
    """The IANA name of this machine's zone: that of TZ, else of /etc/localtime, else of /etc/timezone, else UTC."""
    for name in (os.environ.get("TZ", "").removeprefix(":"), _linked(), _written()):
        if name and _is_known(name):
            return name
    return "UTC"


def _linked() -> str:
    try:
        return str(_LOCALTIME.readlink()).rpartition("zoneinfo/")[2]
    except OSError:
        return ""


def _written() -> str:
    try:
        return _TIMEZONE.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _is_known(name: str) -> bool:
    try:
        zone(name)
    except BadRequest:
        return False
    return True


def moments(wall: datetime, where: tzinfo) -> tuple[int, ...]:
    """When a clock in a zone shows a naive `wall`, in UTC seconds: never (it is in a gap), once, or twice (PEP 495)."""
    first, second = (wall.replace(tzinfo=where, fold=fold) for fold in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return (_seconds(first),)
    moments = _seconds(first), _seconds(second)
    return moments if moments[0] < moments[1] else ()


def moment(wall: datetime, where: tzinfo) -> int:
    """The first time that a clock in a zone shows `wall`, or the end of the gap it is in, in UTC seconds."""
    found = moments(wall, where)
    return found[0] if found else _end_of_gap(wall, where)


def _end_of_gap(wall: datetime, where: tzinfo) -> int:
    """The moment at which the clock was put forward over `wall`."""
    before, after = (_seconds(wall.replace(tzinfo=where, fold=fold)) for fold in (1, 0))
    offset = datetime.fromtimestamp(after, where).utcoffset()
    while after - before > 1:
        middle = (before + after) // 2
        if datetime.fromtimestamp(middle, where).utcoffset() == offset:
            after = middle
        else:
            before = middle
    return after


def _seconds(at: datetime) -> int:
    return int(at.timestamp())
