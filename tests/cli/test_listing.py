"""Tables fit their terminal, and what names things stays whole."""

import io

import pytest

from autohands.cli.listing import fit_widths, show_items


class Terminal(io.StringIO):
    """Standard output that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_widest_columns_shrink_and_the_first_stays() -> None:
    assert fit_widths([40, 6, 100, 30], 100) == [40, 6, 24, 24]
    assert fit_widths([40, 6], 100) == [40, 6]
    assert fit_widths([90, 6, 20], 90) is None


@pytest.mark.parametrize("columns", [80, 100])
def test_cells_are_cut_and_no_line_is_broken(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    out = Terminal()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    name = "ses_0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000"
    items: list[dict[str, str]] = [
        {"id": name, "state": "done", "prompt": "日本 prompt " * 30},
        {"id": "b", "prompt": "short"},
    ]
    show_items(items, ("id", "state", "prompt"), json=False, none="")
    head, first, second = out.getvalue().splitlines()
    assert first.startswith(f"{name}  done   日本 prompt")
    assert first.endswith("…")
    assert len(first) <= columns
    assert head.index("prompt") == second.index("short") == first.index("日本")
