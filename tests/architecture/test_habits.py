"""Habits that a reader relies on: where errors are swallowed, what files are called, what is never shipped."""

import ast
import re
import sys
import tomllib
from collections import Counter

import pytest

from architecture.source import CORE, ROOT, SOURCE, excused, imported, modules, named

MEANINGLESS = re.compile(r"(^|_)(utils?|common|helpers?|base|manager|types|misc|impl|ops)$")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b|unittest\.mock|MagicMock")
PLACES_OF_WIDE_EXCEPT = 6


def wide_excepts(tree: ast.Module) -> Counter[str]:
    """Functions that catch everything, with how often; a BaseException that is raised again is caught by nobody."""
    return Counter(name for name, node in named(tree) if isinstance(node, ast.ExceptHandler) and is_wide(node))


def is_wide(handler: ast.ExceptHandler) -> bool:
    caught = {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)} if handler.type else {""}
    passes_on = isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None
    return bool(caught & {"Exception", ""}) or ("BaseException" in caught and not passes_on)


def test_everything_is_caught_in_six_named_places_only() -> None:
    per_module = {path: wide_excepts(tree) for path, tree in modules().items()}
    found = Counter({f"{path}::{name}": times for path, names in per_module.items() for name, times in names.items()})
    assert found == Counter(excused("wide_except"))
    assert len(found) <= PLACES_OF_WIDE_EXCEPT


@pytest.mark.parametrize(
    ("handler", "wide"),
    [
        ("except Exception: pass", True),
        ("except (KeyError, Exception) as error: raise", True),
        ("except: raise", True),
        ("except BaseException: pass", True),
        ("except BaseException: raise", False),
        ("except ValueError: pass", False),
    ],
)
def test_a_wide_except_is_seen(handler: str, *, wide: bool) -> None:
    assert bool(wide_excepts(ast.parse(f"def f():\n    try: g()\n    {handler}"))) is wide


def test_no_bare_except() -> None:
    handlers = [(p, n) for p, tree in modules().items() for n in ast.walk(tree) if isinstance(n, ast.ExceptHandler)]
    assert [f"{path}:{node.lineno}" for path, node in handlers if node.type is None] == []


def test_no_file_has_a_name_that_says_nothing() -> None:
    names = [part for path in modules() for part in path.removesuffix(".py").split("/")]
    assert [name for name in names if MEANINGLESS.search(name)] == []


def test_nothing_unfinished_is_shipped() -> None:
    assert [path for path in modules() if UNFINISHED.search((SOURCE / path).read_text())] == []


def test_the_core_is_typed_without_ignores() -> None:
    inside = [path for path in modules() if path.startswith(tuple(f"{package}/" for package in CORE))]
    assert [path for path in inside if "type: ignore" in (SOURCE / path).read_text()] == []


def test_no_abstract_classes_and_no_mixins() -> None:
    assert [path for path, tree in modules().items() if "abc" in imported(tree)] == []
    classes = [node.name for tree in modules().values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert [name for name in classes if "Mixin" in name] == []


def test_every_module_says_what_it_is_for() -> None:
    assert [path for path, tree in modules().items() if not ast.get_docstring(tree)] == []


def test_protocols_need_msgspec_and_the_standard_library_only() -> None:
    allowed = sys.stdlib_module_names | {"msgspec", "autohands"}
    inside = {path: tree for path, tree in modules().items() if path.startswith("protocols/")}
    needs = {name.partition(".")[0] for tree in inside.values() for name in imported(tree)}
    assert needs - allowed == set()


def test_an_extension_says_what_it_adds_in_at_most_40_lines() -> None:
    doors = sorted(SOURCE.glob("extensions/*/__init__.py"))
    assert [str(path) for path in doors if len(path.read_text().splitlines()) > 40] == []


def test_an_extension_has_one_name_in_its_folder_and_its_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    folders = {path.parent.name for path in SOURCE.glob("extensions/*/__init__.py")}
    expected = {folder.replace("_", "-"): f"autohands.extensions.{folder}:extension" for folder in folders}
    assert project["entry-points"]["autohands.extensions"] == expected
