"""A supervisor and the warden by themselves, spoken to over their lines."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from autohands.protocols.errors import ToolError
from autohands.protocols.process import Command, ExitStatus
from autohands.sandbox.parcel import Parcel
from autohands.sandbox.process import RunningProcess
from sandbox.witness import Witness

SUPERVISOR = (
    "import socket, sys; from autohands.sandbox.keeper import serve; serve(socket.socket(fileno=int(sys.argv[1])), 0)"
)
WARDEN = "from autohands.sandbox.warden import main; main()"


@contextmanager
def python(code: str, *arguments: str) -> Iterator[tuple[socket.socket, subprocess.Popen[bytes]]]:
    """Code in a process of its own, which finds a socket's descriptor in its first argument."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        given = [sys.executable, "-c", code, str(theirs.fileno()), *arguments]
        process = subprocess.Popen(given, pass_fds=[theirs.fileno()], start_new_session=True)
    try:
        yield ours, process
    finally:
        ours.close()
        assert process.wait(timeout=20) == 0


class Supervised:
    """Runs one command after another on one supervisor."""

    def __init__(self, line: socket.socket, folder: Path) -> None:
        self._line = line
        self._folder = folder
        self._running: list[RunningProcess] = []

    async def start(
        self, script: str, *, grace_seconds: float = 2.0, pty: bool = False, **limits: int
    ) -> RunningProcess:
        command = Command(argv=("bash", "-c", script), pty=pty, timeout_seconds=limits.pop("timeout_ms", 20_000) / 1000)
        with Parcel(command, str(self._folder)) as parcel:
            process = RunningProcess(parcel, self._line, lambda line: None)
            self._running.append(process)
            await process.give(
                {
                    "program": "/bin/bash",
                    "argv": command.argv,
                    "env": {"PATH": os.environ["PATH"]},
                    "directory": "/",
                    "limits": {"kept_bytes": 1 << 20, **limits},
                    "timeout_seconds": command.timeout_seconds,
                    "grace_seconds": grace_seconds,
                    "spool": str(self._folder),
                    "marker": "",
                    "terminal": parcel.terminal_path,
                    "descriptors": list(parcel.sent),
                },
                parcel,
            )
        return process

    async def run(self, script: str, **options: Any) -> ExitStatus:
        return await (await self.start(script, **options)).wait()

    def close(self) -> None:
        for process in self._running:
            process.release()


@pytest.fixture
async def supervised(tmp_path: Path) -> AsyncIterator[Supervised]:
    with python(SUPERVISOR) as (line, _):
        supervisor = Supervised(line, tmp_path)
        yield supervisor
        supervisor.close()


async def test_one_command_after_another(supervised: Supervised, witness: Witness) -> None:
    process = await supervised.start(f"{witness.shell} seq 1 200000; setsid sleep 600 & (sleep 600 &); exit 3")
    captured = await process.captured()
    assert (captured.status.code, captured.head[:4], captured.tail[-7:]) == (3, b"1\n2\n", b"200000\n")
    assert not witness.somebody_lives()
    assert (await supervised.run("kill -TERM $$")).signal == "SIGTERM"
    terminal = await supervised.start("tty; sleep 600", pty=True)
    await terminal.grown(0)
    assert (await terminal.terminate(0.5)).reason == "cancelled"


async def test_limits_are_held(supervised: Supervised) -> None:
    memory = f"exec {sys.executable} -c 'x = [b\"x\" * 2**20 for _ in range(2000)]'"
    assert (await supervised.run(memory, memory_bytes=96 << 20)).reason == "oom"
    assert (await supervised.run("for i in 1 2 3 4 5 6; do sleep 600 & done; wait", processes=5)).reason == "processes"
    assert (await supervised.run("kill -XFSZ $$")).reason == "fsize"


async def test_time_and_those_who_do_not_listen(supervised: Supervised) -> None:
    deaf = "trap '' TERM; echo deaf; while :; do sleep 600; done"
    status = await supervised.run(deaf, timeout_ms=200, grace_seconds=0.1)
    assert (status.signal, status.reason) == ("SIGKILL", "timeout")


async def test_what_cannot_be_started_leaves_the_supervisor_free(supervised: Supervised) -> None:
    with pytest.raises(ToolError, match="Argument list too long"):
        await supervised.start("x" * 3_000_000)
    assert (await supervised.run("true")).ok


async def test_the_end_of_the_line_ends_the_command(tmp_path: Path, witness: Witness) -> None:
    with python(SUPERVISOR) as (line, _):
        supervisor = Supervised(line, tmp_path)
        process = await supervisor.start(
            f"{witness.shell} trap '' TERM; echo on; setsid sleep 600 & sleep 600; sleep 600"
        )
        await process.grown(0)
        supervisor.close()
        await witness.nobody_lives(5)


async def test_an_order_that_comes_too_late_is_passed_over(supervised: Supervised) -> None:
    from autohands.sandbox.line import packed

    assert (await supervised.run("true")).ok
    supervised._line.send(packed({"end": "cancelled", "grace_seconds": 0}))
    assert (await supervised.run("true")).ok


async def test_the_warden_kills_what_a_killed_supervisor_leaves(tmp_path: Path, witness: Witness) -> None:
    with python(WARDEN, "256") as (door, warden):
        warden_ignores = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            socket.send_fds(door, [b"\n"], [theirs.fileno()])
        supervisor = Supervised(ours, tmp_path)
        process = await supervisor.start(f"{witness.shell} setsid sleep 600 & (sleep 600 &); echo $PPID; sleep 600")
        await process.grown(0)
        for number in warden_ignores:
            os.kill(warden.pid, number)
        os.kill(int(process.read(0).data), signal.SIGKILL)
        assert (await process.wait()).reason == "lost"
        await witness.nobody_lives(5)
        assert warden.poll() is None
        supervisor.close()


async def test_the_warden_leaves_when_all_have_left(tmp_path: Path, witness: Witness) -> None:
    with python(WARDEN, "256") as (door, warden):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            socket.send_fds(door, [b"\n"], [theirs.fileno()])
        supervisor = Supervised(ours, tmp_path)
        process = await supervisor.start(f"{witness.shell} echo on; sleep 600")
        await process.grown(0)
        door.shutdown(socket.SHUT_WR)
        await asyncio.sleep(0)
        assert warden.poll() is None
        supervisor.close()
        await witness.nobody_lives(5)
