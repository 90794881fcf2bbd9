"""The unified diff: it applies, it is bounded, it is short where little changed."""

from hypothesis import given
from hypothesis import strategies as st

from autohands.extensions.tools_filesystem.diff import unified_diff


def patched(text: str, diff: str) -> str:
    """The text with a unified diff applied to it; every context and removed line must be there."""
    diff_lines = diff.replace("\n\\ No newline at end of file", "\0").split("\n")[2:]
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1].removesuffix("\n")
    done, after = 0, ""
    for line in diff_lines:
        content = line[1:-1] if line.endswith("\0") else line[1:] + "\n"
        if line.startswith("@@"):
            start, count = map(int, line.split()[1][1:].split(","))
            after += "".join(lines[done : start - (count > 0)])
            done = start - (count > 0)
            continue
        if not line.startswith("+"):
            assert lines[done] == content
            done += 1
        if not line.startswith("-"):
            after += content
    return after + "".join(lines[done:])


texts = st.lists(st.sampled_from([*"abcdefgh", ""]), max_size=30).map("\n".join)


@given(texts, texts)
def test_a_diff_applies(before: str, after: str) -> None:
    diff = unified_diff(before, after, "file")
    assert patched(before, diff) == after
    assert (diff == "") == (before == after)


@given(texts, st.integers(0, 29), texts)
def test_a_small_change_in_a_long_text_makes_a_small_diff(tail: str, at: int, new: str) -> None:
    lines = [f"line {number}" for number in range(30)] + tail.split("\n")
    changed = [*lines[:at], new, *lines[at:]]
    diff = unified_diff("\n".join(lines), "\n".join(changed), "file")
    assert patched("\n".join(lines), diff) == "\n".join(changed)
    assert len(diff.split("\n")) <= 9 + len(new.split("\n")) + 3


def test_a_diff_looks_like_one() -> None:
    before = "".join(f"{number}\n" for number in range(20))
    after = before.replace("3\n", "drei\n", 1).replace("17\n", "")
    assert unified_diff(before, after, "some/file") == (
        "--- some/file\n+++ some/file\n"
        "@@ -1,7 +1,7 @@\n 0\n 1\n 2\n-3\n+drei\n 4\n 5\n 6\n"
        "@@ -15,6 +15,5 @@\n 14\n 15\n 16\n-17\n 18\n 19"
    )


def test_the_last_newline_is_a_difference() -> None:
    diff = unified_diff("a\nb\n", "a\nb", "f")
    assert diff == "--- f\n+++ f\n@@ -1,2 +1,2 @@\n a\n-b\n+b\n\\ No newline at end of file"
    assert unified_diff("", "a\n", "f") == "--- f\n+++ f\n@@ -0,0 +1,1 @@\n+a"


def test_a_long_diff_is_cut() -> None:
    diff = unified_diff("", "x" * 5000 + "\n" + "line\n" * 5000, "file")
    assert len(diff) < 10_000
    assert diff.endswith("more lines of diff]")


def test_texts_that_have_nothing_in_common_are_not_compared_line_by_line() -> None:
    before, after = "a\n" * 20_000, "b\n" * 20_000
    assert unified_diff(before, after, "file").startswith("--- file\n+++ file\n@@ -1,20000 +1,20000 @@\n-a\n")
