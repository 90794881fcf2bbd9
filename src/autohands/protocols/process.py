"""Processes: what to run, how it ended, what it printed, and the jobs that a session keeps running."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct, field

EndReason: TypeAlias = Literal["exited", "signal", "timeout", "oom", "fsize", "processes", "cancelled", "lost"]
JobKind: TypeAlias = Literal["background", "shell", "output"]
JobStatus: TypeAlias = Literal["running", "exited", "lost"]


class Limits(Struct, frozen=True, kw_only=True):
    """What one command and all it starts may use; None leaves the machine's own limit.

    `memory_bytes` is resident memory of the whole tree, `processes` the number of its processes, `file_bytes` the size
    of a file it writes, `kept_bytes` how much of its output is kept.
    """

    memory_bytes: int | None = None
    file_bytes: int | None = None
    processes: int | None = None
    open_files: int | None = None
    cpu_seconds: int | None = None
    kept_bytes: int = 64 << 20


class Command(Struct, frozen=True, kw_only=True):
    """A program to run.

    `cwd` is an open directory's descriptor (used before `spawn` returns) or a path. `stdin` is the whole input, or
    "pipe" to feed it by `Process.write`; None is an empty one, or with `pty` the terminal. `env` comes on top of a
    clean environment. `profile` names a set of limits.
    """

    argv: tuple[str, ...]
    cwd: int | str = "/"
    profile: str = "exec"
    stdin: bytes | Literal["pipe"] | None = None
    pty: bool = False
    env: dict[str, str] = field(default_factory=dict)
    timeout_seconds: float | None = None


class ExitStatus(Struct, frozen=True, omit_defaults=True):
    """How a process ended: `code` if it exited, `signal` (`SIGKILL`) if one ended it, and why."""

    code: int | None
    signal: str | None = None
    reason: EndReason = "exited"
    duration_seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it did what it should: ended by itself with status 0."""
        return self.code == 0 and self.reason == "exited"


class Chunk(Struct, frozen=True):
    """Output from a cursor on: `skipped` bytes are no longer kept, then `data`; go on at `next`."""

    data: bytes
    next: int
    skipped: int = 0


class Captured(Struct, frozen=True):
    """How a process ended and the two ends of what it printed; `total` counts all of its bytes."""

    status: ExitStatus
    head: bytes
    tail: bytes
    total: int

    @property
    def left_out(self) -> int:
        """Bytes between head and tail."""
        return self.total - len(self.head) - len(self.tail)

    @property
    def truncated(self) -> bool:
        """Whether anything was left out."""
        return self.left_out > 0


class Process(Protocol):
    """A running program and everything it started."""

    @property
    def pid(self) -> int:
        """The process id of the program itself."""
        ...

    @property
    def status(self) -> ExitStatus | None:
        """How it ended, or None while anything of it runs."""
        ...

    @property
    def total(self) -> int:
        """Bytes printed so far."""
        ...

    async def wait(self) -> ExitStatus:
        """Return when the program has ended and nothing that it started is left."""
        ...

    async def grown(self, past: int) -> int:
        """The total, as soon as more than `past` bytes were printed or it has ended."""
        ...

    def read(self, cursor: int, most_bytes: int = 65_536) -> Chunk:
        """Output from `cursor` on, as far as there is any."""
        ...

    async def captured(self, most_bytes: int = 32_768) -> Captured:
        """Wait for the end; head and tail of the output, half of `most_bytes` each."""
        ...

    async def write(self, data: bytes) -> None:
        """Feed its input, where that is a pipe or a terminal.

        Raises:
            Conflict: Its input is closed, or it has ended.
        """
        ...

    def close_stdin(self) -> None:
        """End its input."""
        ...

    def interrupt(self, *, kill: bool = False) -> None:
        """Signal what runs in the foreground, as Ctrl-C does (SIGINT); with `kill` by SIGKILL."""
        ...

    async def terminate(self, grace_seconds: float = 2.0, reason: EndReason = "cancelled") -> ExitStatus:
        """SIGTERM to all of it, after the grace SIGKILL; return when nothing is left."""
        ...


class Spawn(Protocol):
    """Starts processes: clean environment, limits, no survivors."""

    def __call__(self, command: Command) -> AbstractAsyncContextManager[Process]:
        """Run a command for as long as the context is open; leaving it ends whatever still runs.

        Raises:
            ToolError: There is no such program or directory, or it may not be run.
            TooBusy: No more processes can be had.
        """
        ...


class JobRow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A process that a session keeps, as it is stored. `born` tells a reused pid apart; times are UTC ms.

    `kind` is `background`, `shell` (a terminal) or `output` (a finished command whose long output can still be read).
    """

    id: str
    session: str
    executor: str
    command: str
    kind: JobKind = "background"
    pid: int = 0
    born: str = ""
    cwd: str = ""
    status: JobStatus = "running"
    exit_code: int | None = None
    signal: str | None = None
    reason: EndReason = "exited"
    started: int = 0
    ended: int | None = None
    output_total: int = 0
    output_tail: str = ""


class JobStore(Protocol):
    """Where job rows are durable."""

    async def save_job(self, row: JobRow) -> None:
        """Insert or replace a row."""
        ...

    async def jobs(self, session: str | None = None) -> list[JobRow]:
        """The rows of a session, or of all, oldest first."""
        ...


class Job(Protocol):
    """A session's process: its row, and while this program runs it, the process itself."""

    @property
    def row(self) -> JobRow:
        """As it stands now."""
        ...

    @property
    def process(self) -> Process | None:
        """The process or what is kept of it; None if it ran before a restart or in another program."""
        ...

    async def moved(self, cwd: str) -> None:
        """Record the directory that a shell is in now."""
        ...


class Jobs(Protocol):
    """The processes of one session. They end with the program that runs them; their rows stay."""

    async def start(self, command: Command, *, title: str, kind: JobKind = "background", cwd: str = "") -> Job:
        """Run a command that outlives the call. `title` is what people read, `cwd` its directory for the record.

        Raises:
            ToolError: It cannot be started.
            TooBusy: The session, or the program, runs as many as it may.
        """
        ...

    async def keep(self, process: Process, *, title: str, cwd: str = "") -> Job:
        """Keep a finished process's output readable after its call."""
        ...

    async def get(self, id: str) -> Job:
        """One of the session's jobs.

        Raises:
            NotFound: It has none of that id; the ids it has are given.
        """
        ...

    async def list(self) -> list[Job]:
        """All of them, oldest first."""
        ...


JobsOf: TypeAlias = Callable[[str], Jobs]
