"""Glob patterns: what ripgrep takes for a match, in time that grows with the length."""

import itertools
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autohands.extensions.tools_search.pattern import Pattern, alternatives
from autohands.extensions.tools_search.ripgrep import executable
from autohands.sdk import ToolError

FILES = [
    *("a", "a.py", "b.py", "ab.py", "a.b.py", "[x].py", "x!.py", "-a.py", "A.PY", "a b.py"),
    *("src/a.py", "src/b.ts", "src/deep/a.py", "src/deep/er/a.py", "src/deep/er/b.tsx", "src/a/src/a.py"),
    *("docs/a.md", "docs/deep/b.md", "test/test_a.py", "test/unit/test_b.py", "a.d/a.py", "aa/aa/aa"),
]
PATTERNS = [
    *("*", "*.py", "a.*", "?.py", "??.py", "a*b*.py", "*a*", "**", "**/*", "**/*.py", "*.{py,ts}", "{a,b}.py", "*.ts?"),
    *("[ab].py", "[!a].py", "[a-b]*.py", "[[]x].py", "?.PY", "-*", "x!.py", "a b.py", "aa"),
    *("src/*.py", "src/**", "src/**/*.py", "src/**/a.py", "**/deep/*", "**/deep/**/*.py", "src/*/a.py", "*/*.py"),
    *("**/src/**/a.py", "src/{deep,a}/**/*.py", "{src,docs}/**/*.{py,md}", "/src/a.py", "**/test_*.py", "a.d/*"),
    *("src/deep", "nothing/*", "**/a/**", "aa/**/aa", "*/aa/*", "src/**/**/a.py", "**/*.{ts,tsx}", "{*.py,docs/*}"),
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_same_files_as_ripgrep(tree: Path, pattern: str) -> None:
    command = [executable(), "--files", "--no-config", f"--glob={pattern}"]
    printed = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=20).stdout
    assert sorted(filter(Pattern(pattern).matches, FILES)) == sorted(printed.splitlines())


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_ripgrep_sorts_out_itself_loses_nothing(pattern: str) -> None:
    compiled = Pattern(pattern)
    if compiled.names:
        either = re.compile("|".join(re.escape(name).replace(r"\*", ".*") for name in compiled.names))
        assert all(either.fullmatch(name.rpartition("/")[2]) for name in filter(compiled.matches, FILES))


def test_simple_names_are_sorted_out_by_ripgrep() -> None:
    assert Pattern("src/**/*.{py,ts}").names == ["*.py", "*.ts"]
    assert Pattern("src/**").names == Pattern("[ab].py").names == Pattern("?.py").names == []


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a" * 100 + "c", "a" * 255),
        ("**/a/" * 100 + "c", "a/" * 500 + "d"),
        ("**/*a*a*a*a*b/" * 40, "aaaaaaaaaaaaaaaaaaaaaaaaa/" * 100 + "a"),
        ("*" * 900 + "b", "a" * 4_000),
        ("{a,aa}*{a,aa}*{a,aa}*{a,aa}*{a,aa}*b", "a" * 4_000),
    ],
)
def test_fs18_no_pattern_runs_away(pattern: str, path: str) -> None:
    before = time.monotonic()
    assert not Pattern(pattern[:1_000]).matches(path)
    assert time.monotonic() - before < 5


def test_the_usual_translation_runs_away() -> None:
    naive = re.compile("(?:.*/)?a/" * 12 + "c")
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(
            [sys.executable, "-c", f"import re; re.fullmatch({naive.pattern!r}, 'a/' * 60 + 'd')"],
            timeout=0.5,
            check=True,
        )


def test_a_character_is_one_whatever_its_bytes() -> None:
    assert Pattern("?.py").matches("é.py")
    assert Pattern("[é-ö].py").matches("ê.py")


def test_braces() -> None:
    assert alternatives("{a,b{c,d}}e") == ["ae", "bce", "bde"]
    assert alternatives("a{b") == ["a{b"]
    assert set(alternatives("{a,}{b,}")) == {"".join(pair) for pair in itertools.product(("a", ""), ("b", ""))}
    with pytest.raises(ToolError, match="alternatives"):
        alternatives("{a,b}" * 30)
