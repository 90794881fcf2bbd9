"""The failpoints: each name stands once, says where it is, and there are enough of them."""

import re
from collections import Counter
from pathlib import Path

import pytest

from faults.points import points

LEAST = 60


def test_cr01_failpoints_have_names_of_their_own() -> None:
    counted = Counter(name for name, _ in points())
    assert [name for name, times in counted.items() if times > 1] == []
    assert [name for name in counted if not re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", name)] == []


def test_cr01_there_are_sixty_failpoints_at_least() -> None:
    assert len(list(points())) >= LEAST


def test_failpoints_are_found_and_must_be_literal(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text('def f():\n    failpoint("a.b")\n    other("c.d")\n')
    assert list(points(tmp_path)) == [("a.b", "module.py:2")]
    module.write_text("failpoint(name)\n")
    with pytest.raises(ValueError, match=r"module.py:1"):
        list(points(tmp_path))
