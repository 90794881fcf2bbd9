"""What the documents show is true: every snippet and every example runs.

A fence of README.md and docs/**/*.md is read by its info string:
`python` runs as a program, top-level await allowed; `python continued` goes on where the fence before it ended;
`python no-run: WHY` is only compiled; `toml` parses; of `console test` each line `$ autohands …` runs.
"""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from architecture.source import ROOT

FENCE = re.compile(r"^[ \t]*```(\w+)[ \t]*([^\n]*)\n(.*?)^[ \t]*```[ \t]*$", re.MULTILINE | re.DOTALL)
SECONDS = 45
RUN = """
import ast, asyncio, inspect, pathlib, sys
code = compile(pathlib.Path(sys.argv[1]).read_text(), sys.argv[1], "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
result = eval(code, {"__name__": "__main__", "__file__": sys.argv[1]})
if inspect.iscoroutine(result):
    asyncio.run(result)
"""


@dataclass(frozen=True)
class Fence:
    """One fenced block: where it stands, its language, the rest of its info string, its text."""

    place: str
    language: str
    info: str
    text: str


def fences(name: str, document: str) -> Iterator[Fence]:
    """The fences of a document; a continued one carries the text of those it continues."""
    before = ""
    for found in FENCE.finditer(document):
        language, info, text = found[1], found[2].strip(), dedent(found[3])
        if language == "python":
            text = before = before + text if info == "continued" else text
        yield Fence(f"{name}:{document.count(chr(10), 0, found.start()) + 1}", language, info, text)


def documented(*languages: str) -> list[Fence]:
    """The fences in these languages of every document."""
    documents = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
    every = [fence for path in documents for fence in fences(path.relative_to(ROOT).as_posix(), path.read_text())]
    return [fence for fence in every if fence.language in languages]


def place(fence: Fence) -> str:
    return fence.place


def run(command: list[str], home: Path, workspace: Path) -> None:
    """Run a command in `workspace`, with this interpreter's programs first on its path; it must succeed."""
    environment = os.environ | {
        "AUTOHANDS_HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        command,
        cwd=workspace,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


def run_snippet(text: str, home: Path, workspace: Path) -> None:
    snippet = home.with_name("snippet.py")
    snippet.write_text(text)
    run([sys.executable, "-c", RUN, str(snippet)], home, workspace)


@pytest.mark.parametrize("fence", documented("python"), ids=place)
def test_python_snippets_run(fence: Fence, home: Path, workspace: Path) -> None:
    if fence.info in ("", "continued"):
        run_snippet(fence.text, home, workspace)
    else:
        assert re.fullmatch(r"no-run: \w.+", fence.info), f"{fence.place}: say why it cannot run: `python no-run: WHY`"
        compile(fence.text, fence.place, "exec", flags=0x2000)  # top-level await


@pytest.mark.parametrize("fence", documented("toml"), ids=place)
def test_toml_snippets_parse(fence: Fence) -> None:
    tomllib.loads(fence.text)


@pytest.mark.parametrize("fence", [f for f in documented("console", "bash") if f.info == "test"], ids=place)
def test_console_snippets_run(fence: Fence, home: Path, workspace: Path) -> None:
    lines = [line[2:] for line in fence.text.splitlines() if line.startswith("$ autohands ")]
    assert lines, f"{fence.place}: no line begins with `$ autohands `"
    for line in lines:
        run(["/bin/sh", "-c", line], home, workspace)


@pytest.mark.parametrize("example", sorted(ROOT.glob("examples/*.py")), ids=lambda path: path.name)
def test_examples_run(example: Path, home: Path, workspace: Path) -> None:
    run([sys.executable, str(example)], home, workspace)


def test_a_wrong_snippet_is_seen(home: Path, workspace: Path) -> None:
    document = (
        "```python\nx = 1\n```\ntext\n  ```python continued\n  import asyncio\n  await asyncio.sleep(x - 1)\n  ```\n"
    )
    first, second = fences("x.md", document)
    assert (first.place, second.place) == ("x.md:1", "x.md:5")
    run_snippet(second.text, home, workspace)
    with pytest.raises(AssertionError, match="NameError"):
        run_snippet(second.text.replace("x = 1\n", ""), home, workspace)
