"""Which paths a glob means, as gitignore(5) has it."""

import pytest

from autohands.protocols.errors import BadRequest
from autohands.runloop.globs import Globs


@pytest.mark.parametrize(
    ("pattern", "fits", "does_not"),
    [
        ("**", ["a", "a/b", ".x"], []),
        ("*.pdf", ["a.pdf", "deep/down/a.pdf", "a.pdf/inside"], ["a.pdfx", "a.PDF", "pdf"]),
        ("a/*.txt", ["a/b.txt"], ["x/a/b.txt", "a/b/c.txt", "b.txt"]),
        ("/a.txt", ["a.txt"], ["b/aXtxt"]),
        ("./in/**", ["in/a", "in/a/b"], ["in", "out/in/a"]),
        ("**/logs/*.log", ["logs/a.log", "x/y/logs/a.log"], ["logs/x/a.log"]),
        ("a/**/z", ["a/z", "a/b/c/z"], ["a", "b/a/z"]),
        ("build/", ["build/x", "a/build/x"], ["build", "rebuild/x"]),
        ("n?me[0-9].t[!x]t", ["name1.txt".replace("x", "e"), "d/nome9.tot"], ["name.tet", "name1.txt", "n/me1.tet"]),
        ("a+(b).{txt}", ["a+(b).{txt}"], ["aab.txt"]),
        ("[", ["[", "x/["], ["a"]),
    ],
)
def test_what_fits(pattern: str, fits: list[str], does_not: list[str]) -> None:
    globs = Globs([pattern])
    assert [path for path in fits if not globs.match(path)] == []
    assert [path for path in does_not if globs.match(path)] == []


def test_a_directory_fits_where_its_name_does() -> None:
    globs = Globs(["build/", "*.tmp"])
    assert globs.match("a/build", directory=True)
    assert globs.match("x.tmp", directory=True)
    assert not globs.match("a/build")
    assert not Globs([]).match("anything")


@pytest.mark.parametrize("pattern", ["", "/", "!keep.txt", "x" * 1001])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(BadRequest, match="no pattern of files"):
        Globs([pattern])
