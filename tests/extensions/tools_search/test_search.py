"""glob and grep on the real ripgrep: the same answers, bounded, inside the workspace."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import autohands
from autohands.protocols.errors import ToolError
from autohands.protocols.tool import ToolResult


class Searching:
    """Calls tools in a workspace."""

    def __init__(self, hands: autohands.Hands) -> None:
        self._hands = hands

    async def __call__(self, name: str, **arguments: object) -> ToolResult:
        """The tool's result."""
        return await self._hands.call_tool(name, arguments)

    async def matches(self, **arguments: object) -> list[tuple[str, int, str]]:
        """What grep found."""
        data = (await self("grep", **arguments)).data or {}
        return [(match["path"], match["line"], match["text"]) for match in data["matches"]]


@pytest.fixture
async def search(home: Path, workspace: Path) -> AsyncIterator[Searching]:
    """Tools on a small tree with an ignored, a hidden and a binary file."""
    files = {
        "src/main.py": "import os\n\ndef main():\n    return os\n",
        "src/deep/er/util.py": "def util():\n    pass\n",
        "src/view.ts": "export const x = 1\n",
        "notes.md": "Main things\nmaintain\n",
        "build/out.py": "def main(): pass\n",
        ".hidden/secret.py": "def main(): pass\n",
        ".gitignore": "build/\n",
        "-dash.txt": "--regexp main\n",
    }
    for name, text in files.items():
        path = workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (workspace / "binary.bin").write_bytes(b"main\0main\n")
    (workspace / ".git").mkdir()
    async with autohands.open(home, workspace) as hands:
        yield Searching(hands)


async def test_glob_finds_names_at_any_depth_and_honours_ignore_files(search: Searching) -> None:
    assert (await search("glob", pattern="*.py")).data == {
        "paths": ["src/deep/er/util.py", "src/main.py"],
        "total": 2,
        "truncated": False,
    }
    found = await search("glob", pattern="*.py", hidden=True, no_ignore=True)
    assert (found.data or {})["paths"] == [".hidden/secret.py", "build/out.py", "src/deep/er/util.py", "src/main.py"]


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("src/*.{py,ts}", ["src/main.py", "src/view.ts"]),
        ("src/**/util.py", ["src/deep/er/util.py"]),
        ("./src/main.py", ["src/main.py"]),
        ("-*", ["-dash.txt"]),
        ("nothing", []),
    ],
)
async def test_glob_patterns(search: Searching, pattern: str, paths: list[str]) -> None:
    assert ((await search("glob", pattern=pattern)).data or {})["paths"] == paths


async def test_glob_searches_beneath_a_path_and_names_from_the_root(search: Searching) -> None:
    assert ((await search("glob", pattern="er/*.py", path="src/deep")).data or {})["paths"] == ["src/deep/er/util.py"]


@pytest.mark.parametrize("pattern", ["", "x" * 1_001, "{a,b}" * 20, "[z-a]"])
async def test_glob_refuses_what_is_no_pattern(search: Searching, pattern: str) -> None:
    result = await search("glob", pattern=pattern)
    assert result.failed
    assert result.text.startswith("invalid_pattern")


async def test_grep_gives_lines_files_and_counts(search: Searching) -> None:
    assert await search.matches(pattern=r"def \w+") == [
        ("src/deep/er/util.py", 1, "def util():"),
        ("src/main.py", 3, "def main():"),
    ]
    files = await search("grep", pattern="def", output="files")
    assert (files.data or {})["paths"] == ["src/deep/er/util.py", "src/main.py"]
    counts = await search("grep", pattern="main", output="count", path="notes.md")
    assert (counts.data or {})["counts"] == [{"path": "notes.md", "count": 1}]


async def test_grep_options(search: Searching) -> None:
    assert len(await search.matches(pattern="main", path="notes.md", case_insensitive=True)) == 2
    assert await search.matches(pattern="main", path="notes.md", word=True) == []
    assert await search.matches(pattern="os\n\ndef", multiline=True) != []
    assert await search.matches(pattern="main():", literal=True) == [("src/main.py", 3, "def main():")]
    assert await search.matches(pattern="--regexp main") == [("-dash.txt", 1, "--regexp main")]
    assert {path for path, _, _ in await search.matches(pattern="x|os", glob="*.ts")} == {"src/view.ts"}
    around = await search("grep", pattern="def main", path="src/main.py", context=1)
    assert around.text == "src/main.py-2-\nsrc/main.py:3:def main():\nsrc/main.py-4-    return os"


async def test_grep_caps_with_a_mark(search: Searching, workspace: Path) -> None:
    (workspace / "many.txt").write_text("needle\n" * 1000 + "x" * 10_000 + " needle\n")
    result = await search("grep", pattern="needle", limit=3)
    data = result.data or {}
    assert (len(data["matches"]), data["total"], data["truncated"]) == (3, 1001, True)
    assert "[998 more" in result.text
    assert len((await search("grep", pattern="x needle")).text) < 1_000


async def test_a_wrong_pattern_is_answered_in_ripgreps_words(search: Searching) -> None:
    result = await search("grep", pattern="(")
    assert result.failed
    assert "unclosed group" in result.text


async def test_fs01_a_search_does_not_leave_the_workspace(search: Searching, workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("def main\n")
    (workspace / "link").symlink_to(tmp_path)
    (workspace / "link.txt").symlink_to(tmp_path / "outside.txt")
    for path in ("..", "/etc", "link", "link.txt", "src/../.."):
        assert (await search("grep", pattern="main", path=path)).failed, path
    assert all("outside" not in path for path, _, _ in await search.matches(pattern="def main"))


async def test_fs10_names_with_line_breaks_are_shown_escaped(search: Searching, workspace: Path) -> None:
    (workspace / "a\nb.txt").write_text("odd name\n")
    assert ((await search("glob", pattern="a*b.txt")).data or {})["paths"] == ["a\\x0ab.txt"]
    assert ((await search("grep", pattern="odd name", output="files")).data or {})["paths"] == ["a\\x0ab.txt"]


async def test_fs10_a_line_in_a_file_with_a_line_break_in_its_name(search: Searching, workspace: Path) -> None:
    (workspace / "a\n--\nb.txt").write_text("odd name\nafter\n")
    (workspace / "binary.dat").write_bytes(b"odd name\n" * 10_000 + b"\0")
    found = await search.matches(pattern="odd name", glob="*.txt", context=1)
    assert found == [("a\\x0a--\\x0ab.txt", 1, "odd name")]
    assert {path for path, _, _ in await search.matches(pattern="odd name", limit=100_000)} >= {"a\\x0a--\\x0ab.txt"}


async def test_fs09_long_lines_and_what_is_no_text_are_cut_and_fit_into_json(
    search: Searching, workspace: Path
) -> None:
    (workspace / "long.txt").write_bytes(b"needle \xff\r\n" + b"y" * 5_000_000 + b"needle" + b"y" * 5_000_000 + b"\n")
    (_, _, first), (_, _, second) = await search.matches(pattern="needle", path="long.txt")
    assert first == r"needle \xff"
    assert len(second) < 600


async def test_fs16_a_search_ends_at_a_number_of_finds(search: Searching, workspace: Path) -> None:
    (workspace / "many.txt").write_text("needle\n" * 50_000)
    result = await search("grep", pattern="needle", limit=10)
    assert "incomplete" in result.text
    assert (result.data or {})["truncated"]


async def test_fs16_symlink_loops_and_unreadable_directories_do_not_end_a_search(
    search: Searching, workspace: Path
) -> None:
    (workspace / "src" / "loop").symlink_to(workspace / "src")
    (workspace / "closed").mkdir(mode=0o000)
    assert len(await search.matches(pattern="def main")) == 1


async def test_fs18_a_catastrophic_pattern_does_not_run_away(search: Searching, workspace: Path) -> None:
    (workspace / "a.txt").write_text("a" * 1_000_000 + "\n")
    result = await search("grep", pattern="(a+)+$", path="a.txt", output="count")
    assert (result.data or {})["total"] == 1


async def test_grep_says_what_rg_says_on_a_real_tree(home: Path) -> None:
    root = Path(autohands.__file__).parent
    command = [
        str(Path(sys.executable).with_name("rg")),
        "--no-heading",
        "--line-number",
        "--sort=path",
        "async def ",
        ".",
    ]
    printed = subprocess.run(command, cwd=root, capture_output=True, text=True).stdout.splitlines()
    async with autohands.open(home, root) as hands:
        data = (await hands.call_tool("grep", {"pattern": "async def ", "limit": 100_000})).data or {}
    found = [f"{match['path']}:{match['line']}:{match['text']}" for match in data["matches"]]
    assert found == sorted((line.removeprefix("./") for line in printed), key=by_path_and_line)


def by_path_and_line(printed: str) -> tuple[str, int]:
    """The order of grep's answers."""
    path, line, _ = printed.split(":", 2)
    return path, int(line)


async def test_an_empty_pattern_is_refused(search: Searching) -> None:
    with pytest.raises(ToolError, match="missing argument"):
        await search("grep")
    assert (await search("grep", pattern="")).failed
