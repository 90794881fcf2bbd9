"""Starts commands: a clean environment, limits, bounded output, and no survivors.

A program has one warden, started with its first command. It forks supervisors, each of which starts one command at a
time and is free for the next when nothing of it is left. All of them end with the program, even if that is killed.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import msgspec

from autohands.protocols.errors import TooBusy, ToolError
from autohands.protocols.process import Command, Limits, Process
from autohands.sdk.failpoint import failpoint

from .environment import clean_environment
from .line import Order
from .parcel import Parcel
from .process import NoSupervisor, RunningProcess, writable
from .profiles import ALL_PROCESSES, PROFILES
from .tree import LINUX

GRACE_SECONDS = 2.0
MOST_IDLE = 8
ATTEMPTS = 2
WARDEN_SECONDS = 10.0
MARKER = "AUTOHANDS_PROCESS"
PROGRAM = "import sys; sys.path.append(sys.argv.pop(1)); from autohands.sandbox.warden import main; main()"


class Spawner:
    """Starts commands and knows those that run; leaving its context ends them all. Implements `Spawn`.

    `state_dir` is where long output goes, in files without names. `environment` is all that commands get to see, by
    default the allowed part of our own. `processes` bounds those of all commands together, where the system can.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        profiles: Mapping[str, Limits] = PROFILES,
        environment: Mapping[str, str] | None = None,
        processes: int = ALL_PROCESSES,
    ) -> None:
        self._state_dir = state_dir
        self._profiles = profiles
        self._environment = dict(clean_environment(os.environ) if environment is None else environment)
        self._processes = processes
        self._running: set[RunningProcess] = set()
        self._warden: subprocess.Popen[bytes] | None = None
        self._door: socket.socket | None = None
        self._knocking = asyncio.Lock()
        self._idle: dict[str, list[socket.socket]] = {}

    async def __aenter__(self) -> Spawner:
        return self

    async def __aexit__(self, *_: object) -> None:
        async with asyncio.TaskGroup() as group:
            for process in self._running:
                group.create_task(process.close())
        for lines in self._idle.values():
            for line in lines:
                line.close()
        self._idle.clear()
        if self._door is not None and self._warden is not None:
            await part(self._door, self._warden)
            self._door = self._warden = None

    def __call__(self, command: Command) -> AbstractAsyncContextManager[Process]:
        """Run a command for as long as the context is open; leaving it ends whatever still runs.

        Raises:
            ToolError: There is no such program or directory, or it may not be run.
            TooBusy: No more processes can be had.
        """
        return self._open(command)

    @asynccontextmanager
    async def _open(self, command: Command) -> AsyncIterator[Process]:
        process = await self.start(command)
        try:
            yield process
        finally:
            await process.close()
            self._running.discard(process)

    async def start(self, command: Command) -> RunningProcess:
        """Run a command without a context: whoever calls this closes the process. Raises what calling does."""
        order = self._order(command)
        for _ in range(ATTEMPTS):
            try:
                failpoint("spawn.starting")
                process = await self._start(command, order)
            except NoSupervisor:
                continue
            except OSError as error:
                raise TooBusy(f"cannot run {command.argv[0]!r}: {error.strerror}") from error
            failpoint("spawn.started")
            self._running = {process, *(other for other in self._running if other.status is None)}
            return process
        raise TooBusy(f"cannot run {command.argv[0]!r}: no more processes can be had")

    async def _start(self, command: Command, order: Order) -> RunningProcess:
        line = await self._line(command.profile)
        try:
            parcel = Parcel(command, str(self._state_dir))
        except OSError:
            self._keep_line(command.profile, line)
            raise
        with parcel:
            process = RunningProcess(parcel, line, partial(self._keep_line, command.profile))
            try:
                await process.give(order | {"terminal": parcel.terminal_path, "descriptors": list(parcel.sent)}, parcel)
            except BaseException:
                process.release()
                raise
            return process

    def _order(self, command: Command) -> Order:
        marker = "" if LINUX else f"{MARKER}={os.urandom(8).hex()}"
        env = self._environment | command.env | dict([marker.split("=")] if marker else [])
        for text in (*command.argv, *env.values()):
            check_text(text)
        if command.profile not in self._profiles:
            raise ValueError(f"there is no profile {command.profile!r}, only {', '.join(self._profiles)}")
        limits: dict[str, int | None] = msgspec.to_builtins(self._profiles[command.profile])
        return {
            "program": find_program(command.argv[0], env.get("PATH", "")),
            "argv": command.argv,
            "env": env,
            "directory": command.cwd,
            "limits": {name: limit for name, limit in limits.items() if limit is not None},
            "timeout_seconds": command.timeout_seconds,
            "grace_seconds": GRACE_SECONDS,
            "spool": str(self._state_dir),
            "marker": marker,
        }

    async def _line(self, profile: str) -> socket.socket:
        """A line to a supervisor with this profile's limits that is free, or to a new one."""
        idle = self._idle.get(profile)
        while idle:
            line = idle.pop()
            if is_open(line):
                return line
            line.close()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            try:
                await self._knock(theirs)
            except BaseException:
                ours.close()
                raise
        return ours

    def _keep_line(self, profile: str, line: socket.socket) -> None:
        idle = self._idle.setdefault(profile, [])
        if self._door is not None and len(idle) < MOST_IDLE:
            idle.append(line)
        else:
            line.close()

    async def _knock(self, line: socket.socket) -> None:
        """Have the warden fork a supervisor at the other end of this line."""
        async with self._knocking:
            while True:
                if self._door is None:
                    self._door, theirs = socket.socketpair()
                    self._door.setblocking(False)
                    with theirs:
                        self._warden = start_warden(theirs, self._processes)
                try:
                    socket.send_fds(self._door, [b"\n"], [line.fileno()])
                    return
                except BlockingIOError:
                    await writable(self._door.fileno())
                except (BrokenPipeError, ConnectionResetError):
                    self._forget_warden()

    def _forget_warden(self) -> None:
        """It was killed from outside. Its supervisors live on without it; the next one comes from a new warden."""
        if self._door is not None and self._warden is not None:
            self._door.close()
            self._warden.wait()
            self._door = self._warden = None


def find_program(name: str, path: str) -> str:
    """Where a program is, by its name on a search path; a name with a slash stands. Raises `ToolError`."""
    import shutil

    if "/" in name:
        return name
    if found := shutil.which(name, path=path):
        return found
    raise ToolError(f"there is no program {name!r} on the search path")


def is_open(line: socket.socket) -> bool:
    """Whether somebody is at the other end of an idle line."""
    try:
        return bool(line.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return True
    except OSError:
        return False


def check_text(text: str) -> None:
    """Refuse what no program can be given. Raises `ToolError`."""
    try:
        data = os.fsencode(text)
    except UnicodeEncodeError as error:
        raise ToolError(f"not valid text at character {error.start + 1}: {text[error.start]!r}") from error
    if b"\0" in data:
        raise ToolError("a command cannot contain the character NUL")


def start_warden(door: socket.socket, processes: int) -> subprocess.Popen[bytes]:
    """Start the warden behind `door`, in a session of its own, with an empty environment and no way to our terminal."""
    root = str(Path(__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", PROGRAM, root, str(door.fileno()), str(processes)],
        cwd="/",
        env={},
        pass_fds=(door.fileno(),),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


async def part(door: socket.socket, warden: subprocess.Popen[bytes]) -> None:
    """Tell the warden that nobody will come any more, and wait until it has seen all out; kill it if it does not go."""
    with door:
        with suppress(OSError):
            door.shutdown(socket.SHUT_WR)
        try:
            async with asyncio.timeout(WARDEN_SECONDS):
                await asyncio.get_running_loop().sock_recv(door, 1)
        except (TimeoutError, OSError):
            warden.kill()
        finally:
            warden.wait()
