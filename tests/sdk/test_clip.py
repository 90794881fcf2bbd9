"""Text bounded and cleaned: both ends kept, honest marks, nothing that a terminal would obey."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohands.sdk.clip import (
    clip_ends,
    clip_line,
    clip_lines,
    decode,
    escape,
    join_ends,
    json_safe,
    plain,
    whole_head,
    whole_tail,
)

TEN = "".join(f"line {number}\n" for number in range(1, 11))


@pytest.mark.parametrize(
    ("offset", "limit", "expected"),
    [
        (1, 20, TEN),
        (9, 2, "line 9\nline 10\n"),
        (3, 2, "line 3\nline 4\n[lines 3-4 of 10; go on with offset=5]"),
        (-2, 5, "line 9\nline 10\n"),
        (-20, 1, "line 1\n[lines 1-1 of 10; go on with offset=2]"),
        (0, 1, "line 1\n[lines 1-1 of 10; go on with offset=2]"),
        (11, 5, "[there are only 10 lines]"),
        (1, 0, "[lines 1-0 of 10; go on with offset=1]"),
    ],
)
def test_lines_from_an_offset(offset: int, limit: int, expected: str) -> None:
    assert clip_lines(TEN, offset, limit) == expected


@pytest.mark.parametrize("text", ["", "a", "a\n", "\n\n", "a\n\nb", "a\r\nb\x0cc\u2028d\n"])
def test_lines_that_fit_stay_as_they_are(text: str) -> None:
    assert clip_lines(text) == text


def test_blank_lines_before_the_mark_stay() -> None:
    assert clip_lines("\n\n\nx\n", 1, 2) == "\n\n[lines 1-2 of 4; go on with offset=3]"


def test_a_long_line_is_cut_and_counted() -> None:
    assert clip_line("x" * 12_345, 10) == "xxxxxxxxxx[… 12,335 characters more]"
    assert clip_lines("short\n" + "x" * 30, longest=10) == "short\nxxxxxxxxxx[… 20 characters more]"


def test_both_ends_are_kept() -> None:
    text = clip_ends(TEN * 1_000, 1_000, hint="look there")
    head, mark, tail = re.split(r"\n(\[….*…\])\n", text)
    assert head.startswith("line 1\n")
    assert tail.endswith("line 10\n")
    assert set(head.splitlines() + tail.splitlines()) <= set(TEN.splitlines())
    left_out = int(re.findall(r"[\d,]+", mark)[0].replace(",", ""))
    assert left_out == len(TEN) * 1_000 - len(head) - 1 - len(tail)
    assert "look there" in mark
    assert clip_ends(TEN) is TEN
    assert clip_ends("é" * 50, 100) == "é" * 50
    assert clip_ends("é" * 51, 100) != "é" * 51


@given(st.text(min_size=60), st.integers(4, 50))
def test_no_character_is_cut_in_two(text: str, most_bytes: int) -> None:
    data = text.encode()
    half = most_bytes // 2
    joined = join_ends(data[:half], data[-half:], len(data) - 2 * half)
    assert "\\x" not in joined or "\\x" in text
    clip_ends(text, most_bytes).encode()


@given(st.binary(max_size=40))
def test_whole_ends_are_ends(data: bytes) -> None:
    assert data.startswith(whole_head(data))
    assert data.endswith(whole_tail(data))


def test_nothing_left_out_is_joined_without_a_mark() -> None:
    assert join_ends(b"a\xc3", b"\xa9b", 0) == "aéb"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]52;c;aGk=\x07", ""),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b[?2004hpaste\x1b[201~", "paste"),
        ("\x1bP1$r0m\x1b\\dcs\x1b_apc\x1b\\", "dcs"),
        ("\x1b(Bcharset\x1b=\x1bc", "charset"),
        ("\x9b31mc1\x9d0;t\x9cx", "c1x"),
        ("never \x1b]0;closed\nnext", "never \nnext"),
        ("cut \x1b[", "cut "),
        ("cut \x1b", "cut "),
        ("bell\x07back\x08nul\x00del\x7f", "bellbacknuldel"),
        ("tab\tline\r\nline", "tab\tline\r\nline"),
    ],
)
def test_sh13_what_a_terminal_obeys_is_taken_out(text: str, expected: str) -> None:
    assert plain(text) == expected


@given(st.text(alphabet="\x1b[]0;?m\x07\\Px\n\x9b\x9d"))
def test_sh13_nothing_is_left_to_obey(text: str) -> None:
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", plain(text))
    assert plain(text).count("\n") == text.count("\n")


@given(st.binary())
def test_sh22_any_bytes_become_text_that_fits_into_json(data: bytes) -> None:
    assert json.loads(json.dumps(decode(data)).encode()) == decode(data)
    decode(data).encode()


def test_sh22_lone_surrogates() -> None:
    assert json_safe("a\ud800b\udcff") == r"a\ud800b\udcff"
    with pytest.raises(UnicodeEncodeError):
        "a\ud800".encode()


def test_what_deceives_the_eye_is_shown() -> None:
    assert escape("a\u202eb\u200b\x1b[2K\r\ufeff\U000e0041") == r"a\u202eb\u200b\x1b[2K\r\ufeff\U000e0041"
    assert escape("plain ü 漢\tand\nlines") == "plain ü 漢\tand\nlines"
