"""No process is started and no socket opened but by `sandbox` and `sdk`'s HTTP client."""

import ast
import re

import pytest

from architecture.source import aliases, dotted, excused, modules, named

HOMES = ("sandbox/", "sdk/http.py")
REACHES_OUTSIDE = re.compile(
    r"""subprocess\.(Popen|run|call|check_call|check_output|getoutput|getstatusoutput)
    | os\.(fork|forkpty|posix_spawnp?|system|popen|exec[lv]p?e?|spawn[lv]p?e?)
    | pty\.(fork|spawn)
    | asyncio\.(create_subprocess_exec|create_subprocess_shell|subprocess\.create_subprocess_\w+)
    | asyncio\.(open_connection|open_unix_connection|start_server|start_unix_server)
    | socket\.(socket|socketpair|create_connection|create_server|fromfd)
    | (multiprocessing|concurrent\.futures\.ProcessPoolExecutor|socketserver|ftplib|smtplib|xmlrpc)\b.*
    | (urllib\.request|http\.client|http\.server)\b.*
    | aiohttp\.(ClientSession|TCPConnector|UnixConnector|request)""",
    re.VERBOSE,
)
LOOP_METHODS = {
    *("subprocess_exec", "subprocess_shell", "create_connection", "create_server", "create_unix_connection"),
    *("create_unix_server", "create_datagram_endpoint", "sock_connect"),
}


def reaches_outside(tree: ast.Module) -> set[str]:
    """The functions ('' for the module itself) that start a process or open a socket."""
    known = aliases(tree)
    return {name for name, node in named(tree) if is_door(node, known)}


def is_door(node: ast.AST, known: dict[str, str]) -> bool:
    method = isinstance(node, ast.Attribute) and node.attr in LOOP_METHODS
    return method or REACHES_OUTSIDE.fullmatch(dotted(node, known)) is not None


def test_processes_and_sockets_have_one_home_each() -> None:
    others = {path: tree for path, tree in modules().items() if not path.startswith(HOMES)}
    found = {f"{path}::{name}" for path, tree in others.items() for name in reaches_outside(tree)}
    assert found == excused("outside")


@pytest.mark.parametrize(
    "line",
    [
        "import subprocess as s\ndef f(): s.run(['ls'])",
        "from subprocess import Popen\ndef f(): Popen(['ls'])",
        "import asyncio\nasync def f(): await asyncio.create_subprocess_exec('ls')",
        "async def f(loop): await loop.create_connection(None)",
        "from socket import socket\ndef f(): socket()",
        "import os\ndef f(): os.execvp('ls', [])",
        "def f():\n    import aiohttp\n    return aiohttp.ClientSession()",
        "import urllib.request\ndef f(): urllib.request.urlopen('x')",
    ],
)
def test_a_way_out_is_seen(line: str) -> None:
    assert reaches_outside(ast.parse(line)) == {"f"}


def test_a_name_is_no_way_out() -> None:
    tree = ast.parse("import asyncio, socket\ndef f(p: asyncio.subprocess.Process): return socket.gethostname()")
    assert reaches_outside(tree) == set()
