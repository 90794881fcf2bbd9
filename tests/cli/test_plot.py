"""Bars: as long as they should be, never invisible, and in plain characters where others cannot be shown."""

from __future__ import annotations

import io

import pytest

from autohands.cli.plot import bar, shows_blocks


@pytest.mark.parametrize(
    ("value", "shown", "plain"),
    [
        (0, "", ""),
        (100, "████████", "########"),
        (50, "████", "####"),
        (1, "▏", "#"),
        (55, "████▍", "####"),
        (900, "████████", "########"),
    ],
)
def test_a_bar_is_as_long_as_its_share(value: float, shown: str, plain: str) -> None:
    assert bar(value, 100, 8) == shown
    assert bar(value, 100, 8, blocks=False) == plain


def test_nothing_is_no_bar() -> None:
    assert bar(0, 0, 8) == bar(1, 0, 8) == ""


@pytest.mark.parametrize(("encoding", "shows"), [("utf-8", True), ("ascii", False), ("iso-8859-1", False)])
def test_blocks_are_for_outputs_that_can_show_them(encoding: str, shows: bool) -> None:
    assert shows_blocks(io.TextIOWrapper(io.BytesIO(), encoding=encoding)) is shows
