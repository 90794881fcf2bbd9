"""Commands as their callers meet them: output, limits, time, cancellation, and nothing left behind."""

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autohands.protocols.errors import Conflict, ToolError
from autohands.protocols.process import Captured, Command, Limits
from autohands.sandbox.spawn import Spawner
from sandbox.witness import Witness

LISTING = "import os; print([fd for fd in range(64) if os.path.exists(f'/dev/fd/{fd}')])"
SOON_SECONDS = 5.0  # what the requirements call 2 s, on a machine that has other things to do
STUBBORN = {
    "setsid": "setsid sleep 600 & wait",
    "double fork": "(setsid sh -c 'sleep 600 & sleep 600 &' &) ; sleep 600",
    "nohup": "nohup sleep 600 >/dev/null 2>&1 & wait",
    "deaf": "trap '' TERM HUP INT; setsid sh -c 'trap \"\" TERM; sleep 600; sleep 600' & sleep 600; sleep 600",
    "renamed": "env -i setsid setsid sleep 600 & sleep 600",
}


def shell(script: str, **options: object) -> Command:
    return Command(argv=("bash", "-c", script), **options)  # type: ignore[arg-type]


async def run(spawn: Spawner, command: Command, most_bytes: int = 32_768) -> Captured:
    async with spawn(command) as process:
        return await process.captured(most_bytes)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024)


async def test_output_and_exit_status(spawn: Spawner) -> None:
    captured = await run(spawn, shell("echo out; echo err >&2; exit 3"))
    assert (captured.head, captured.tail, captured.total, captured.truncated) == (b"out\nerr\n", b"", 8, False)
    assert (captured.status.code, captured.status.reason, captured.status.ok) == (3, "exited", False)


@pytest.mark.parametrize(
    "script", ["head -c 100M /dev/zero", "yes | head -c 104857600", "head -c 100M /dev/zero | tr '\\0' '\\n'"]
)
async def test_sh03_a_flood_is_drained_and_both_ends_are_kept(spawn: Spawner, script: str) -> None:
    await run(spawn, shell("true"))
    before = peak_mib()
    captured = await run(spawn, shell(script))
    assert captured.total == 100 << 20
    assert (len(captured.head), len(captured.tail)) == (16_384, 16_384)
    assert captured.left_out == (100 << 20) - 32_768
    assert peak_mib() - before < 32


async def test_sh03_the_whole_output_can_be_read_by_cursor(spawn: Spawner) -> None:
    async with spawn(shell("seq 1 400000")) as process:
        total = (await process.captured()).total
        cursor, text = 0, b""
        while cursor < total:
            chunk = process.read(cursor)
            assert not chunk.skipped
            cursor, text = chunk.next, text + chunk.data
    assert text.split() == [b"%d" % number for number in range(1, 400_001)]


async def test_sh03_what_is_kept_is_capped_and_says_so(tmp_path: Path) -> None:
    async with Spawner(tmp_path, profiles={"exec": Limits(kept_bytes=1 << 20)}) as spawn:
        async with spawn(shell("seq 1 400000")) as process:
            total = (await process.captured()).total
            assert process.read(900_000).skipped == 0
            gap = process.read((1 << 20) + 1)
            assert gap.skipped > 0
            assert process.read(total - 7).data == b"400000\n"


async def test_sh03_without_a_disk_both_ends_are_still_kept(tmp_path: Path) -> None:
    async with Spawner(tmp_path / "missing") as spawn:
        captured = await run(spawn, shell("seq 1 400000"))
    assert captured.head.startswith(b"1\n2\n")
    assert captured.tail.endswith(b"400000\n")


async def test_sh04_returns_though_an_orphan_holds_the_pipe(spawn: Spawner, witness: Witness) -> None:
    await run(spawn, shell("true"))
    before = time.monotonic()
    captured = await run(spawn, shell(f"{witness.shell} sleep 600 & echo done"))
    assert time.monotonic() - before < SOON_SECONDS
    assert captured.head == b"done\n"
    await witness.nobody_lives(SOON_SECONDS)


def test_sh04_waiting_for_the_pipe_would_hang() -> None:
    process = subprocess.Popen(["sh", "-c", "sleep 600 & echo $!"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    orphan = int(process.stdout.readline())
    process.wait(timeout=10)
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=0.2)
    os.kill(orphan, signal.SIGKILL)
    process.communicate(timeout=10)


@pytest.mark.parametrize("how", STUBBORN)
@pytest.mark.parametrize("end", [pytest.param("timeout", marks=pytest.mark.slow), "cancel", "leave", "exit"])
async def test_sh05_nothing_survives(spawn: Spawner, witness: Witness, how: str, end: str) -> None:
    script = f"{witness.shell} echo ready; {STUBBORN[how]}"
    if end == "exit":
        script = f"{witness.shell} ({STUBBORN[how]}) & echo ready"
    async with spawn(shell(script, timeout_seconds=0.2 if end == "timeout" else None)) as process:
        await process.grown(0)
        if end in ("timeout", "exit"):
            status = await process.wait()
            assert status.reason == ("timeout" if end == "timeout" else "exited")
        elif end == "cancel":
            waiting = asyncio.create_task(process.wait())
            await asyncio.sleep(0)
            waiting.cancel()
    await witness.nobody_lives(SOON_SECONDS)


def test_sh05_killing_the_process_group_would_leave_survivors(witness: Witness) -> None:
    script = f"{witness.shell} setsid sleep 600 & echo $!; wait"
    process = subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    survivor = int(process.stdout.readline())
    while os.getsid(survivor) != survivor:
        os.sched_yield()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=10)
    process.stdout.close()
    assert witness.somebody_lives()
    os.kill(survivor, signal.SIGKILL)


PROGRAM = """
import asyncio, sys
from pathlib import Path
from autohands.protocols.process import Command
from autohands.sandbox.spawn import Spawner

async def main():
    async with Spawner(Path(sys.argv[1])) as spawn:
        processes = [await spawn.start(Command(argv=("bash", "-c", script))) for script in sys.argv[2:]]
        for process in processes:
            await process.grown(0)
        print("ready", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_sh05_nothing_survives_the_program(tmp_path: Path, witness: Witness, number: signal.Signals) -> None:
    scripts = [f"{witness.shell} echo ready; {script}" for script in STUBBORN.values()]
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(tmp_path), *scripts, stdout=asyncio.subprocess.PIPE
    )
    assert program.stdout is not None
    async with asyncio.timeout(30):
        assert await program.stdout.readline() == b"ready\n"
    assert witness.somebody_lives()
    program.send_signal(number)
    await program.wait()
    await witness.nobody_lives(SOON_SECONDS)


async def test_sh05_nothing_survives_a_supervisor_that_is_killed(spawn: Spawner, witness: Witness) -> None:
    script = f"{witness.shell} setsid sleep 600 & (sleep 600 &); echo $PPID; sleep 600"
    async with spawn(shell(script)) as process:
        await process.grown(0)
        os.kill(int(process.read(0).data), signal.SIGKILL)
        assert (await process.wait()).reason == "lost"
        await witness.nobody_lives(SOON_SECONDS)
    assert (await run(spawn, shell("echo on"))).head == b"on\n"


async def test_the_next_command_runs_after_the_warden_was_killed(spawn: Spawner) -> None:
    captured = await run(spawn, shell("ps -o ppid= -p $PPID"))
    os.kill(int(captured.head), signal.SIGKILL)
    results = await asyncio.gather(*(run(spawn, shell("sleep 0.1; echo on")) for _ in range(4)))
    assert [result.head for result in results] == [b"on\n"] * 4


async def test_cancelling_the_caller_ends_the_command_and_leaves_no_file(
    spawn: Spawner, witness: Witness, tmp_path: Path
) -> None:
    started = asyncio.Event()

    async def caller() -> None:
        async with spawn(shell(f"{witness.shell} seq 1 400000; setsid sleep 600")) as process:
            await process.grown(1_000_000)
            started.set()
            await process.wait()

    task = asyncio.create_task(caller())
    async with asyncio.timeout(30):
        await started.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert not witness.somebody_lives()
    assert [path.name for path in tmp_path.iterdir()] == ["witness"]


async def test_no_zombies_and_no_descriptors_are_left(spawn: Spawner) -> None:
    await run(spawn, shell("true"))
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(5):
        await run(spawn, shell("for i in 1 2 3 4 5; do (sleep 0.01 &); done; seq 1 100000", stdin=b"x"))
    assert len(list(Path("/dev/fd").iterdir())) == before
    table = await run(spawn, shell("ps -o stat= --ppid $PPID"))
    assert b"Z" not in table.head


async def test_sh06_a_fork_bomb_is_contained_and_the_loop_stays_awake(spawn: Spawner, witness: Witness) -> None:
    lags: list[float] = []

    async def beat() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            lags.append(time.monotonic() - before - 0.01)

    beating = asyncio.create_task(beat())
    captured = await run(spawn, shell(f"{witness.shell} bomb() {{ bomb | bomb & }}; bomb; sleep 600", profile="small"))
    beating.cancel()
    assert captured.status.reason == "processes"
    assert sorted(lags)[len(lags) * 99 // 100] < 1.0
    await witness.nobody_lives(SOON_SECONDS)


async def test_sh07_too_much_memory(spawn: Spawner) -> None:
    script = "x = [b'x' * 2**20 for _ in range(4096)]"
    captured = await run(spawn, Command(argv=(sys.executable, "-c", script), profile="small", timeout_seconds=30))
    assert (captured.status.signal, captured.status.reason) == ("SIGKILL", "oom")
    assert (await run(spawn, shell("echo alive"))).head == b"alive\n"


async def test_sh07_a_file_too_large(spawn: Spawner, tmp_path: Path) -> None:
    captured = await run(spawn, shell(f"head -c 10M /dev/zero > {tmp_path}/big", profile="small"))
    assert captured.status.reason == "fsize"
    assert (tmp_path / "big").stat().st_size <= 1 << 20


async def test_sh08_input_is_empty_and_there_is_no_terminal(spawn: Spawner) -> None:
    script = "cat; read x; tty; echo $PAGER $GIT_PAGER $GIT_TERMINAL_PROMPT $TERM; (: </dev/tty) 2>&1 | grep -c tty"
    captured = await run(spawn, shell(script))
    assert captured.head.split(b"\n") == [b"not a tty", b"cat cat 0 dumb", b"1", b""]


async def test_sh08_a_command_that_waits_for_a_person_ends_by_its_time(spawn: Spawner) -> None:
    captured = await run(spawn, shell("while :; do sleep 1; done", timeout_seconds=0.2))
    assert captured.status.reason == "timeout"


async def test_sh09_partial_output_and_time_to_clean_up(spawn: Spawner) -> None:
    script = "trap 'echo cleaned; exit 7' TERM; echo partial; sleep 600 & wait"
    captured = await run(spawn, shell(script, timeout_seconds=0.3))
    assert captured.head == b"partial\ncleaned\n"
    assert (captured.status.code, captured.status.reason) == (7, "timeout")


@pytest.mark.slow
async def test_sh09_who_ignores_the_request_is_killed(spawn: Spawner) -> None:
    captured = await run(spawn, shell("trap '' TERM; echo partial; while :; do sleep 600; done", timeout_seconds=0.2))
    assert captured.head == b"partial\n"
    assert (captured.status.signal, captured.status.reason) == ("SIGKILL", "timeout")


async def test_sh10_commands_see_only_the_allowed_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOHANDS_TEST_SECRET", "canary")
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    async with Spawner(tmp_path) as spawn:
        script = "env; tr '\\0' '\\n' </proc/$PPID/environ"
        captured = await run(spawn, shell(script, env={"EXTRA": "1"}))
    names = {line.partition(b"=")[0] for line in captured.head.splitlines()}
    assert b"canary" not in captured.head
    assert {b"PATH", b"HOME", b"EXTRA"} <= names
    assert b"canary" in subprocess.check_output(["env"])


@pytest.mark.parametrize(
    ("script", "code", "name", "reason"),
    [
        ("exit 256", 0, None, "exited"),
        ("exit 257", 1, None, "exited"),
        ("kill -SEGV $$", None, "SIGSEGV", "signal"),
        ("kill -40 $$", None, "SIG40", "signal"),
        ("(kill -KILL $BASHPID)", 137, None, "exited"),
    ],
)
async def test_sh22_ends_are_typed(
    spawn: Spawner, script: str, code: int | None, name: str | None, reason: str
) -> None:
    status = (await run(spawn, shell(script))).status
    assert (status.code, status.signal, status.reason) == (code, name, reason)


async def test_sh22_output_is_kept_byte_by_byte(spawn: Spawner) -> None:
    captured = await run(spawn, shell(r"printf 'a\r\n\377\200\000\355\240\200'"))
    assert captured.head == b"a\r\n\xff\x80\x00\xed\xa0\x80"


async def test_input_whole_and_piece_by_piece(spawn: Spawner) -> None:
    text = b"x" * 300_000
    assert (await run(spawn, shell("wc -c", stdin=text))).head.strip() == b"300000"
    async with spawn(shell("wc -c", stdin="pipe")) as process:
        await process.write(text)
        await process.write(text)
        process.close_stdin()
        assert (await process.captured()).head.strip() == b"600000"
        with pytest.raises(Conflict):
            await process.write(b"more")


async def test_a_terminal(spawn: Spawner) -> None:
    async with spawn(shell("test -t 0 && test -t 1 && tty </dev/tty; cat", pty=True)) as process:
        await process.grown(len("/dev/"))
        device = process.read(0).data
        await process.write(b"typed\n")
        await process.grown(len(device))
        process.interrupt()
        captured = await process.captured()
    assert device.startswith(b"/dev/")
    assert captured.head == device + b"typed\n"
    assert captured.status.signal == "SIGINT"


async def test_a_directory_by_descriptor_and_by_path(spawn: Spawner, tmp_path: Path) -> None:
    place = tmp_path / "a b"
    place.mkdir()
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert (await run(spawn, Command(argv=("pwd",), cwd=fd))).head.strip() == bytes(place)
    finally:
        os.close(fd)
    assert (await run(spawn, Command(argv=("pwd",), cwd=str(place)))).head.strip() == bytes(place)


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (Command(argv=("no-such-program",)), "no program 'no-such-program'"),
        (Command(argv=("./missing",)), "No such file"),
        (Command(argv=("/etc/passwd",)), "Permission denied"),
        (Command(argv=("pwd",), cwd="/missing"), "in that directory"),
        (Command(argv=("echo", "a\0b")), "NUL"),
        (Command(argv=("echo", "\ud800")), "not valid text"),
        (Command(argv=("echo", "x" * 3_000_000)), "Argument list too long"),
    ],
)
async def test_what_cannot_be_started_is_told(spawn: Spawner, command: Command, text: str) -> None:
    with pytest.raises(ToolError, match=text):
        await run(spawn, command)
    assert (await run(spawn, shell("echo on"))).head == b"on\n"


@pytest.mark.parametrize("pty", [False, True])
async def test_commands_inherit_no_descriptors_but_their_three(spawn: Spawner, tmp_path: Path, pty: bool) -> None:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    command = Command(argv=(sys.executable, "-c", LISTING), cwd=fd, stdin=b"input", pty=pty)
    try:
        assert (await run(spawn, command)).head.strip() == b"[0, 1, 2]"
    finally:
        os.close(fd)


async def test_an_unknown_profile_is_a_mistake_in_the_program(spawn: Spawner) -> None:
    with pytest.raises(ValueError, match="exec, search"):
        await run(spawn, Command(argv=("true",), profile="none"))


async def test_many_at_once(spawn: Spawner) -> None:
    results = await asyncio.gather(*(run(spawn, shell(f"echo {number}")) for number in range(40)))
    assert [result.head for result in results] == [b"%d\n" % number for number in range(40)]


async def test_starting_does_not_block_the_loop(spawn: Spawner) -> None:
    await run(spawn, shell("true"))
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    async with spawn(shell("true")) as process:
        started = ticks
        await process.wait()
    ticking.cancel()
    assert started > 0
