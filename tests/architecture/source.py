"""The product's source as data, for the tests beside it: modules, functions, dotted names, and the excused places."""

import ast
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "autohands"
CORE = ("protocols", "sdk", "core", "storage", "runloop", "runtime")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def modules(root: Path = SOURCE) -> dict[str, ast.Module]:
    """Every module beneath `root`, parsed, by its path."""
    return {path.relative_to(root).as_posix(): ast.parse(path.read_text()) for path in sorted(root.rglob("*.py"))}


def packages() -> set[str]:
    """Every package of the product, by its path beneath `src/autohands`."""
    return {path.parent.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("__init__.py")} - {"."}


def named(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Every node beneath `tree` with the qualified name of the class or function that holds it ('' at the top)."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Function | ast.ClassDef):
            name = f"{prefix}.{node.name}" if prefix else node.name
            yield name, node
            yield from named(node, name)
        else:
            yield prefix, node
            yield from named(node, prefix)


def dotted(node: ast.AST, aliases: dict[str, str]) -> str:
    """The dotted name that `node` refers to, with imported names resolved, or '' where it is not a plain name."""
    if isinstance(node, ast.Name):
        return aliases.get(node.id, "")
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value, aliases)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


def aliases(tree: ast.Module) -> dict[str, str]:
    """What each imported name of a module stands for: `import a.b as c` gives c → a.b."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                top = name.name.partition(".")[0]
                found[name.asname or top] = name.name if name.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {name.asname or name.name: f"{node.module}.{name.name}" for name in node.names}
    return found


def imported(tree: ast.Module) -> set[str]:
    """The absolute modules that a module imports anywhere in it."""
    plain = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    return plain | {
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module and not node.level
    }


def excused(table: str) -> set[str]:
    """The places of `excused.toml` that one rule lets pass."""
    return set(tomllib.loads((Path(__file__).parent / "excused.toml").read_text())[table])
