"""SEARCH/REPLACE on text: exact, drifted, refused; and what must stay as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohands.extensions.tools_filesystem.edits import Edit, apply_edits, made_already
from autohands.extensions.tools_filesystem.text import encoding_of
from autohands.sdk import ToolError

PYTHON = """\
class A:
    def one(self):
        if self.x:
            return 1
        return 2

    def two(self):
        return 3
"""
TABS = PYTHON.replace("    ", "\t")

EXACT = {
    "a line": ("a\nb\nc\n", "b", "B", "a\nB\nc\n"),
    "within a line": ("x = foo(1)\n", "foo", "bar", "x = bar(1)\n"),
    "several lines": ("a\nb\nc\nd\n", "b\nc\n", "X\n", "a\nX\nd\n"),
    "a deletion": ("a\nb\nc\n", "b\n", "", "a\nc\n"),
    "the last line": ("a\nb\n", "b\n", "c\n", "a\nc\n"),
    "no newline at the end": ("a\nb", "b", "c", "a\nc"),
    "the final newline is kept": ("a\nb\n", "b\n", "c", "a\nc\n"),
    "a final newline may be added": ("a\nb", "b", "b\n", "a\nb\n"),
    "everything": ("a\n", "a\n", "", ""),
    "an empty file": ("", "", "new\n", "new\n"),
    "windows endings": ("a\r\nb\r\nc\r\n", "b\nc\n", "x\ny\nz\n", "a\r\nx\r\ny\r\nz\r\n"),
    "windows endings, quoted": ("a\r\nb\r\n", "a\r\nb", "a\r\nx\r\nb", "a\r\nx\r\nb\r\n"),
    "windows, kept at the end": ("a\r\nb\r\n", "b\r\n", "c", "a\r\nc\r\n"),
    "mixed, first kind": ("a\r\nb\nc\r\n", "a\n", "a\nx\n", "a\r\nx\nb\nc\r\n"),
    "mixed, second kind": ("a\nb\r\nc\n", "b\n", "x\ny\n", "a\nx\r\ny\r\nc\n"),
    "mixed, untouched in between": ("a\r\nb\nc\r\nd\n", "a\nb\nc\nd", "a\nb\nX\nd", "a\r\nb\nX\r\nd\n"),
    "unicode line separators are text": ("a\u2028b\x0cc\n", "b\x0cc", "B", "a\u2028B\n"),
    "a lone carriage return": ("a\rb\nc\n", "c", "d", "a\rb\nd\n"),
}


@pytest.mark.parametrize(("text", "old", "new", "expected"), EXACT.values(), ids=EXACT.keys())
def test_an_exact_match_is_replaced(text: str, old: str, new: str, expected: str) -> None:
    edited = apply_edits(text, [Edit(old, new)])
    assert edited.text == expected
    assert (edited.replacements, edited.drifted) == (1, False)


DRIFTED = {
    "trailing blanks in the file": ("a  \nb\t\nc\n", "a\nb\n", "a\nB\n", "a  \nB\nc\n"),
    "trailing blanks in the quote": ("a\nb\n", "a  \nb ", "a\nB", "a\nB\n"),
    "blank lines around": ("a\nb\n", "\n\nb\n\n", "\n\nB\n\n", "a\nB\n"),
    "blank line with blanks": ("a\n    \nb\n", "a\n\nb", "a\n\nB", "a\n    \nB\n"),
    "less indentation": (
        PYTHON,
        "if self.x:\n    return 1\nreturn 2",
        "if self.x:\n    return 1\nelse:\n    return 5",
        PYTHON.replace("        return 2", "        else:\n            return 5"),
    ),
    "more indentation": (
        PYTHON,
        "            def two(self):\n                return 3",
        "            def two(self):\n                return 4",
        PYTHON.replace("3", "4"),
    ),
    "spaces for tabs": (
        TABS,
        "        if self.x:\n            return 1",
        "        if self.x:\n            if y:\n                return 7\n            return 1",
        TABS.replace("\t\t\treturn 1", "\t\t\tif y:\n\t\t\t\treturn 7\n\t\t\treturn 1"),
    ),
    "tabs for spaces": (
        PYTHON,
        "\t\tif self.x:\n\t\t\treturn 1",
        "\t\tif self.x:\n\t\t\tif y:\n\t\t\t\treturn 7",
        PYTHON.replace("            return 1", "            if y:\n                return 7"),
    ),
    "two spaces for four": (
        PYTHON,
        "  def two(self):\n    return 3",
        "  def two(self):\n    if y:\n      return 3",
        PYTHON.replace("        return 3", "        if y:\n            return 3"),
    ),
    "a line less deep than all quoted": (
        PYTHON,
        "            return 3",
        "            return 3\n\n        def three(self):\n            pass",
        PYTHON.replace("        return 3", "        return 3\n\n    def three(self):\n        pass"),
    ),
    "runs of blanks": ("x  =   1\ny = 2\n", "x = 1", "x = 5", "x = 5\ny = 2\n"),
    "blanks around operators": ("call(a, b)\n", "call(a,b)", "call(a,c)", "call(a,c)\n"),
    "a deletion": ("a\n  b\nc\n", "b  \n", "", "a\nc\n"),
    "windows endings": ("  a\r\n  b\r\n", "a\nb", "a\nx\nb", "  a\r\n  x\r\n  b\r\n"),
    "the first line stripped": (
        PYTHON,
        "return 2\n\n    def two(self): ",
        "return 9\n\n    def two(self):",
        PYTHON.replace("2", "9"),
    ),
}


@pytest.mark.parametrize(("text", "old", "new", "expected"), DRIFTED.values(), ids=DRIFTED.keys())
def test_whitespace_drift_is_tolerated_and_indentation_fitted(text: str, old: str, new: str, expected: str) -> None:
    edited = apply_edits(text, [Edit(old, new)])
    assert edited.text == expected
    assert (edited.replacements, edited.drifted) == (1, True)


def refusal(text: str, *edits: Edit) -> str:
    with pytest.raises(ToolError) as error:
        apply_edits(text, edits)
    return error.value.text


def test_what_occurs_twice_is_refused_with_all_lines() -> None:
    text = "x\n" * 3 + "y\nx\n"
    assert refusal(text, Edit("x", "z")).startswith("edit_ambiguous: old_string occurs 4 times, at lines 1, 2, 3, 5;")
    assert apply_edits(text, [Edit("x", "z", replace_all=True)]).text == "z\n" * 3 + "y\nz\n"


def test_what_occurs_twice_but_for_whitespace_is_refused_too() -> None:
    text = "if a:\n    f( )\nif b:\n        f( )\n"
    assert refusal(text, Edit("f()", "g()")).startswith("edit_ambiguous: old_string occurs 2 times, at lines 2, 4;")
    edited = apply_edits(text, [Edit("f()", "g()", replace_all=True)])
    assert (edited.text, edited.replacements) == ("if a:\n    g()\nif b:\n        g()\n", 2)


def test_what_is_not_there_is_refused_with_the_nearest_region() -> None:
    told = refusal(PYTHON, Edit("    def two(self):\n        return 4\n", "x"))
    assert told.startswith("edit_not_found: ")
    assert "lines 7-9" in told
    assert "    def two(self):\n        return 3" in told


def test_a_similar_line_is_found_where_none_is_the_same() -> None:
    told = refusal("alpha\nbeta_function(argument)\ngamma\n", Edit("beta_functoin(argument)", "x"))
    assert "lines 2-2" in told
    assert "beta_function(argument)" in told


def test_what_is_like_nothing_says_so() -> None:
    assert "Nothing in the file is like it" in refusal("a\nb\n", Edit("something quite different", "x"))


def test_an_edit_that_was_made_already_says_so() -> None:
    assert "new_string is there already, at line 2" in refusal(
        "a\nnew text\n", Edit("old text that is gone", "new text")
    )


def test_indentation_that_cannot_be_told_is_refused() -> None:
    flat = "def one(self):\nif self.x:\nreturn 1\nreturn 2"
    told = refusal(PYTHON, Edit(flat, flat + "\nreturn 3"))
    assert told.startswith("edit_not_found: ")
    assert "lines 2-5" in told


def test_nothing_to_do_is_refused() -> None:
    assert refusal("a\n", Edit("a", "a")).startswith("edit_no_change: ")
    assert refusal("a\r\nb\r\n", Edit("a\r\nb", "a\nb")).startswith("edit_no_change: ")
    assert refusal("a\n", Edit("", "b")).startswith("edit_not_found: old_string is empty")


def test_several_edits_are_made_in_turn_or_not_at_all() -> None:
    edits = [Edit("a", "b"), Edit("b\nc", "d")]
    assert apply_edits("a\nc\n", edits).text == "d\n"
    told = refusal("a\nc\n", *edits, Edit("e", "f"))
    assert told.startswith("edit_not_found: edit 3 of 3, and so none was made: ")


MADE = {
    "made": ("a\nNEW\nc", [Edit("old", "NEW")], True),
    "not made": ("a\nold\nc", [Edit("old", "NEW")], False),
    "new holds old, made": ("a\nold\nmore\n", [Edit("old", "old\nmore")], True),
    "new holds old, not made": ("a\nold\n", [Edit("old", "old\nmore")], False),
    "neither is there": ("a\n", [Edit("old", "NEW")], None),
    "both are there": ("old\nNEW\n", [Edit("old", "NEW")], None),
    "a deletion": ("a\n", [Edit("old", "")], None),
    "a part is left": ("aaa", [Edit("aa", "a")], None),
    "several made": ("X\r\nY\r\n", [Edit("x", "X"), Edit("y", "Y")], True),
    "several, half of them": ("X\ny\n", [Edit("x", "X"), Edit("y", "Y")], None),
}


@pytest.mark.parametrize(("text", "edits", "expected"), MADE.values(), ids=MADE.keys())
def test_a_file_tells_whether_it_was_edited(text: str, edits: list[Edit], expected: bool | None) -> None:
    assert made_already(text, edits) is expected


lines = st.lists(st.tuples(st.sampled_from(["", "a", "  b", "\tc c", "ü", "x\r"]), st.sampled_from(["\n", "\r\n"])))
few = st.text(alphabet="ab \t\n", max_size=10)


@given(lines, lines)
def test_outside_an_exact_edit_every_byte_stays(above: list[tuple[str, str]], below: list[tuple[str, str]]) -> None:
    before, after = ("".join(line + end for line, end in part) for part in (above, below))
    edited = apply_edits(f"{before}«old»\n{after}", [Edit("«old»", "one\ntwo")]).text
    assert edited == f"{before}one\ntwo\n{after}"


@given(st.text(alphabet="ab \t\n", max_size=40), few, few)
def test_an_edit_is_made_or_refused_but_never_fails(text: str, old: str, new: str) -> None:
    try:
        edited = apply_edits(text, [Edit(old, new, replace_all=True)])
    except ToolError:
        return
    assert edited.text != text
    if text.endswith("\n") and edited.text:
        assert edited.text.endswith("\n")
    if not edited.drifted:
        assert edited.text.rstrip("\n") == text.replace(old, new).rstrip("\n")


@given(st.binary(max_size=200))
def test_fs09_any_text_file_is_written_back_byte_by_byte(data: bytes) -> None:
    encoding = encoding_of(data)
    if encoding is not None:
        assert encoding.encode(encoding.decode(data)) == data
