"""The tree that ARCHITECTURE.md draws in its block ```text tree is the tree that stands.

One line a path, indented by two spaces a level, what it is for after two spaces or more:

    src/autohands/
      core/            registries and lifetimes
      app.py           the composition root
"""

import re
from pathlib import Path

import pytest

from architecture.source import ROOT, packages

BLOCK = re.compile(r"^```text tree\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def drawn(document: str) -> list[str]:
    """The paths of a document's tree, each from the root of the project."""
    found = BLOCK.search(document)
    assert found, "ARCHITECTURE.md needs a block ```text tree"
    paths: list[str] = []
    parents: list[tuple[int, str]] = []
    for line in filter(str.strip, found[1].splitlines()):
        depth = len(line) - len(line.lstrip())
        parents = [parent for parent in parents if parent[0] < depth]
        path = (parents[-1][1] if parents else "") + line.split()[0]
        parents.append((depth, path))
        paths.append(path)
    return paths


def test_the_tree_is_drawn_as_it_stands() -> None:
    paths = drawn((ROOT / "ARCHITECTURE.md").read_text())
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert {f"src/autohands/{package}/" for package in packages()} - set(paths) == set()


def test_a_tree_is_read(tmp_path: Path) -> None:
    document = (
        "# x\n```text tree\nREADME.md  first\nsrc/autohands/\n  core/  the core\n    kernel.py\n  app.py  parts\n```\n"
    )
    assert drawn(document) == [
        "README.md",
        "src/autohands/",
        "src/autohands/core/",
        "src/autohands/core/kernel.py",
        "src/autohands/app.py",
    ]
    with pytest.raises(AssertionError, match="needs a block"):
        drawn("# x\n")
