"""The failpoints that are named in the program's source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "autohands"


def points(root: Path = SOURCE) -> Iterator[tuple[str, str]]:
    """Each call of `failpoint` with a literal name: the name and where it stands. Another argument is an error."""
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "failpoint":
                name = node.args[0]
                if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
                    raise ValueError(f"{path}:{node.lineno}: the name of a failpoint is a literal")
                yield name.value, f"{path.relative_to(root)}:{node.lineno}"


def names() -> list[str]:
    """Every name, sorted."""
    return sorted({name for name, _ in points()})
