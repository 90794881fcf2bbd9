"""A cold start: `python -m turn.cold hand URL` or `autohands URL HOME` imports, opens, prints one answer and ends."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path


def _unheard(text: str) -> None:
    """The answer is printed as a whole."""


async def _hand(url: str) -> None:
    from . import hand

    async with hand.opened(url, lambda: None) as loop:
        print(await loop.run("answer-4", _unheard), flush=True)


async def _autohands(url: str, home: str) -> None:
    from . import ours

    async with ours.opened(url, lambda: None, Path(home)) as loop:
        print(await loop.run("answer-4", _unheard), flush=True)


if __name__ == "__main__":
    asyncio.run(_hand(sys.argv[2]) if sys.argv[1] == "hand" else _autohands(*sys.argv[2:]))
