"""LO07: nothing that fills faster than it is emptied grows without end."""

import ast

import pytest

from architecture.source import aliases, dotted, modules, named

QUEUES = {f"{package}.{name}" for package in ("asyncio", "queue") for name in ("Queue", "LifoQueue", "PriorityQueue")}
ENDLESS = "queue.SimpleQueue"
# Whoever puts something into it waits until it was taken out, or (a lease) has one thing of its own in it.
AWAITED = {"storage/database.py::Database.__init__"}


def unbounded(tree: ast.Module) -> list[str]:
    """Where a queue without a bound is made: the function, and the line."""
    known = aliases(tree)
    calls = [(name, node) for name, node in named(tree) if isinstance(node, ast.Call)]
    return [name for name, call in calls if is_unbounded(call, dotted(call.func, known))]


def is_unbounded(call: ast.Call, name: str) -> bool:
    sizes = [*call.args[:1], *(keyword.value for keyword in call.keywords if keyword.arg == "maxsize")]
    bounded = any(not (isinstance(size, ast.Constant) and size.value == 0) for size in sizes)
    return name == ENDLESS or (name in QUEUES and not bounded)


def test_lo07_every_queue_has_a_bound() -> None:
    found = {f"{path}::{name}" for path, tree in modules().items() for name in unbounded(tree)}
    assert found == AWAITED


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("import asyncio\nasyncio.Queue()", 1),
        ("import asyncio\nasyncio.Queue(0)", 1),
        ("import asyncio\nasyncio.PriorityQueue(maxsize=0)", 1),
        ("from asyncio import Queue as Q\nclass A:\n    def f(self):\n        self.q: Q[int] = Q()", 1),
        ("from queue import SimpleQueue\nSimpleQueue()", 1),
        ("import asyncio\nasyncio.Queue(5), asyncio.Queue(maxsize=MOST)", 0),
    ],
)
def test_lo07_a_queue_without_a_bound_is_seen(code: str, count: int) -> None:
    assert len(unbounded(ast.parse(code))) == count
