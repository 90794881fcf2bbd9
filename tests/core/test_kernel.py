"""Lifetimes: in order, in a task of their own, bounded, and none a danger to another."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from autohands.core.kernel import ExtensionStatus, Kernel
from autohands.core.lifetime import Timing
from autohands.core.registry import Registries
from autohands.protocols.errors import BadRequest, ConfigError, Conflict, NotFound
from autohands.protocols.extension import Extension as ProtocolExtension
from autohands.protocols.extension import Host
from autohands.protocols.process import Command, Process
from autohands.sandbox.spawn import Spawner
from autohands.sdk import Extension
from core.parts import Lifetime, Settings, living, manifest, named_tool, shared, static, telling

QUICK = Timing(grace_seconds=0.2, restart_seconds=0.01, restart_most_seconds=0.05, restarts=3)


@pytest.fixture
async def kernel(tmp_path: Path) -> AsyncIterator[Kernel]:
    async with Kernel(Registries(), shared(tmp_path), QUICK) as kernel:
        yield kernel


def names(kernel: Kernel) -> list[str]:
    return [status.name for status in kernel.extensions() if status.state == "running"]


async def until_state(kernel: Kernel, name: str, state: str) -> ExtensionStatus:
    """The status of an extension as soon as it is in that state."""
    async with asyncio.timeout(10):
        while True:
            for status in kernel.extensions():
                if (status.name, status.state) == (name, state):
                    return status
            await asyncio.sleep(0)


async def test_they_start_in_order_of_need_and_stop_in_reverse(tmp_path: Path) -> None:
    told: list[str] = []
    async with Kernel(Registries(), shared(tmp_path)) as kernel:
        wanted = [telling("c", told, requires=("b",)), telling("b", told, requires=("a>=1,<2",)), telling("a", told)]
        assert await kernel.start((extension, None) for extension in wanted) == []
        assert list(kernel.registries.tools) == ["a_tool", "b_tool", "c_tool"]
    assert told == ["+a", "+b", "+c", "-c", "-b", "-a"]
    assert list(kernel.registries.tools) == []


async def raising(host: Host, config: Any) -> AsyncIterator[None]:
    host.add_tools(named_tool("left_over"))
    if config is None:
        raise ValueError("no such thing")
    yield


async def exiting(host: Host, config: Any) -> AsyncIterator[None]:
    host.add_tools(named_tool("left_over"))
    if config is None:
        sys.exit(3)
    yield


async def hanging(host: Host, config: Any) -> AsyncIterator[None]:
    host.add_tools(named_tool("left_over"))
    await asyncio.Event().wait()
    yield


async def cancelling(host: Host, config: Any) -> AsyncIterator[None]:
    host.add_tools(named_tool("left_over"))
    if config is None:
        raise asyncio.CancelledError
    yield


async def never(host: Host, config: Any) -> AsyncIterator[None]:
    host.add_tools(named_tool("left_over"))
    for _ in ():
        yield


async def importing(host: Host, config: Any) -> AsyncIterator[None]:
    host.add_tools(named_tool("left_over"))
    import_module("no_such_package_anywhere")
    yield


@pytest.mark.parametrize(
    ("lifetime", "reason"),
    [
        (raising, "ValueError: no such thing (" + __file__),
        (exiting, "SystemExit: 3 (" + __file__),
        (hanging, "it did not enter service within 0.2 s"),
        (cancelling, "CancelledError"),
        (never, "generator didn't yield"),
        (importing, "ModuleNotFoundError: No module named 'no_such_package_anywhere' (" + __file__),
    ],
)
async def test_one_that_cannot_start_leaves_nothing_and_stops_no_other(
    kernel: Kernel, lifetime: Lifetime, reason: str
) -> None:
    tasks = asyncio.all_tasks()
    bad = living("bad", lifetime, extra="more")
    needy = static("needy", "needy_tool", requires=("bad",))
    failed = await kernel.start([(static("one", "a"), None), (bad, None), (needy, None), (static("two", "b"), None)])
    assert [(status.name, status.state) for status in failed] == [("bad", "failed"), ("needy", "failed")]
    assert reason in failed[0].reason
    assert "requires bad, which is not there" in failed[1].reason
    assert names(kernel) == ["one", "two"]
    assert list(kernel.registries.tools) == ["a", "b"]
    assert asyncio.all_tasks() == tasks


async def test_a_missing_package_is_answered_with_the_extra(kernel: Kernel) -> None:
    with pytest.raises(ConfigError) as caught:
        await kernel.load(living("bad", importing, extra="more"))
    assert caught.value.hint == "pip install 'autohands[more]'"


async def test_what_stands_in_the_way_is_named_before_anything_starts(kernel: Kernel) -> None:
    told: list[str] = []
    wanted = [telling("a", told, requires=("b",)), telling("b", told, requires=("a",)), telling("c", told)]
    failed = await kernel.start((extension, None) for extension in wanted)
    assert [status.reason for status in failed] == ["requires itself: a → b → a", "requires itself: b → a → b"]
    assert told == ["+c"]


async def test_ex04_a_tool_of_a_taken_name_is_refused_and_shadows_nothing(kernel: Kernel) -> None:
    kernel.registries.tools.add("core", ("read_file", named_tool("read_file")))
    real = kernel.registries.tools.get("read_file")
    failed = await kernel.start([(static("thief", "mine", "read_file"), None)])
    assert "tool 'read_file' of 'thief' is refused: 'core' has added it" in failed[0].reason
    assert kernel.registries.tools.items() == [("read_file", real)]


@pytest.mark.parametrize("name", ["reаd_file", "read file", "1st", "x" * 65, ""])
async def test_ex04_a_tool_that_no_model_could_be_shown_is_refused(kernel: Kernel, name: str) -> None:
    failed = await kernel.start([(static("bad", name), None)])
    assert "name" in failed[0].reason
    assert name == "" or len(kernel.registries.tools) == 0


async def test_ex04_a_tool_described_at_great_length_is_refused(kernel: Kernel) -> None:
    async def run(host: Host, config: Any) -> AsyncIterator[None]:
        tool = named_tool("long")
        tool.schema = type(tool.schema)("long", "x" * (1 << 20), tool.schema.parameters)
        host.add_tools(tool)
        yield

    failed = await kernel.start([(living("bad", run), None)])
    assert "description of 'long' is 1,048,576 characters long; at most 20,000" in failed[0].reason


async def test_only_one_with_a_lifetime_has_a_task(kernel: Kernel) -> None:
    before = len(asyncio.all_tasks())
    await kernel.start([(static(f"s{number}", f"t{number}"), None) for number in range(7)])
    assert len(asyncio.all_tasks()) == before
    await kernel.load(telling("alive", []))
    assert len(asyncio.all_tasks()) == before + 1


async def test_configuration_reaches_the_extension_or_its_defaults_do(kernel: Kernel) -> None:
    seen: list[Any] = []

    async def run(host: Host, config: Any) -> AsyncIterator[None]:
        seen.append(config)
        yield

    await kernel.load(living("one", run, config=Settings), Settings(level=7))
    await kernel.load(living("two", run, config=Settings))
    await kernel.load(living("three", run))
    assert seen == [Settings(level=7), Settings(level=3), None]


class Failing:
    """Fails in service, in a task group, as often as it is told to."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.entered = 0
        self.cleaned = 0
        self.fail = asyncio.Event()

    async def run(self, host: Host, config: Any) -> AsyncIterator[None]:
        self.entered += 1
        host.add_tools(named_tool("fragile"))
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._work())
                yield
        finally:
            self.cleaned += 1

    async def _work(self) -> None:
        if self.left:
            await self.fail.wait()
            self.left -= 1
            raise OSError("connection lost")


class Plain:
    """An extension that is not made by the sdk."""

    config = None

    def __init__(self, lifetime: Lifetime) -> None:
        self.manifest = manifest("fragile")
        self.run = lifetime


@pytest.mark.parametrize("make", [lambda run: living("fragile", run), Plain], ids=["sdk", "plain"])
async def test_one_that_fails_in_service_is_withdrawn_and_started_again(
    kernel: Kernel, make: Callable[[Lifetime], ProtocolExtension]
) -> None:
    failing = Failing(times=1)
    await kernel.start([(static("good", "steady"), None), (make(failing.run), None)])
    assert list(kernel.registries.tools) == ["steady", "fragile"]
    failing.fail.set()
    status = await until_state(kernel, "fragile", "restarting")
    assert "OSError: connection lost" in status.reason
    assert list(kernel.registries.tools) == ["steady"]
    assert (await until_state(kernel, "fragile", "running")).reason == ""
    assert list(kernel.registries.tools) == ["steady", "fragile"]
    assert (failing.entered, failing.cleaned) == (2, 1)


async def test_one_that_fails_again_and_again_is_given_up(kernel: Kernel) -> None:
    failing = Failing(times=100)
    failing.fail.set()
    await kernel.start([(static("good", "steady"), None), (living("fragile", failing.run), None)])
    async with asyncio.timeout(10):
        while failing.cleaned < 1 + QUICK.restarts:
            await until_state(kernel, "fragile", "failed")
    assert failing.entered == failing.cleaned == 1 + QUICK.restarts
    assert list(kernel.registries.tools) == ["steady"]
    assert await kernel.unload("fragile") == ["fragile"]


async def test_one_that_waits_for_its_restart_stops_at_once(tmp_path: Path) -> None:
    failing = Failing(times=1)
    failing.fail.set()
    patient = Timing(restart_seconds=60.0)
    async with asyncio.timeout(10), Kernel(Registries(), shared(tmp_path), patient) as kernel:
        await kernel.load(living("fragile", failing.run))
        await until_state(kernel, "fragile", "restarting")
    assert failing.entered == 1


async def test_one_that_does_not_leave_is_cancelled_and_keeps_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    async def stubborn(host: Host, config: Any) -> AsyncIterator[None]:
        yield
        try:
            await asyncio.Event().wait()
        finally:
            told.append("cancelled")

    async with asyncio.timeout(10), Kernel(Registries(), shared(tmp_path), QUICK) as kernel:
        await kernel.start([(telling("a", told), None), (living("b", stubborn), None), (telling("c", told), None)])
    assert told == ["+a", "+c", "-c", "cancelled", "-a"]
    assert "extension b failed: it did not leave service within 0.2 s" in caplog.text


async def test_one_that_ignores_its_cancellation_is_left_behind(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def deaf(host: Host, config: Any) -> AsyncIterator[None]:
        yield
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    before = asyncio.all_tasks()
    async with asyncio.timeout(10), Kernel(Registries(), shared(tmp_path), QUICK) as kernel:
        await kernel.load(living("deaf", deaf))
    release.set()
    async with asyncio.timeout(10):
        await asyncio.gather(*(asyncio.all_tasks() - before))


async def test_one_that_ignores_its_cancellation_does_not_hold_up_the_start(kernel: Kernel) -> None:
    release = asyncio.Event()

    async def deaf(host: Host, config: Any) -> AsyncIterator[None]:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        yield

    before = asyncio.all_tasks()
    async with asyncio.timeout(10):
        failed = await kernel.start([(living("deaf", deaf), None), (static("good", "x"), None)])
    assert (failed[0].name, names(kernel)) == ("deaf", ["good"])
    release.set()
    async with asyncio.timeout(10):
        await asyncio.wait(asyncio.all_tasks() - before)


async def test_a_kernel_that_is_cancelled_while_it_stops_cancels_the_rest(tmp_path: Path) -> None:
    told: list[str] = []

    async def slow(host: Host, config: Any) -> AsyncIterator[None]:
        yield
        told.append("slow is asked to leave")
        try:
            await asyncio.Event().wait()
        finally:
            told.append("slow is cancelled")

    async def whole() -> None:
        async with Kernel(Registries(), shared(tmp_path)) as kernel:
            await kernel.start([(telling("a", told), None), (living("slow", slow), None)])

    before = asyncio.all_tasks()
    running = asyncio.create_task(whole())
    async with asyncio.timeout(10):
        while "slow is asked to leave" not in told:
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait({running})
        if left := asyncio.all_tasks() - before:
            await asyncio.wait(left)
    assert running.cancelled()
    assert told == ["+a", "slow is asked to leave", "slow is cancelled"]


async def test_unload_withdraws_and_load_brings_back(kernel: Kernel) -> None:
    told: list[str] = []
    await kernel.load(telling("a", told))
    pinned = kernel.registries.snapshot()
    assert await kernel.unload("a") == ["a"]
    assert list(kernel.registries.tools) == []
    assert pinned.tools.get("a_tool") is not None
    await kernel.load(telling("a", told))
    assert list(kernel.registries.tools) == ["a_tool"]
    assert told == ["+a", "-a", "+a"]


async def test_unload_is_refused_while_another_needs_it_or_takes_it_along(kernel: Kernel) -> None:
    told: list[str] = []
    wanted = [telling("a", told), telling("b", told, requires=("a",)), telling("c", told, requires=("b",))]
    await kernel.start((extension, None) for extension in [*wanted, telling("d", told)])
    with pytest.raises(Conflict, match="'a' is required by b, c"):
        await kernel.unload("a")
    assert names(kernel) == ["a", "b", "c", "d"]
    assert await kernel.unload("a", cascade=True) == ["c", "b", "a"]
    assert names(kernel) == ["d"]
    assert told[-3:] == ["-c", "-b", "-a"]


async def test_starting_one_that_is_loaded_touches_neither_it_nor_those_that_need_it(kernel: Kernel) -> None:
    told: list[str] = []
    await kernel.start([(telling("a", told), None), (telling("b", told, requires=("a>=1",)), None)])
    failed = await kernel.start([(telling("a", told, version="0.5"), None)])
    assert [status.reason for status in failed] == ["extension 'a' is loaded already"]
    assert told == ["+a", "+b"]


async def test_load_refuses_what_is_there_or_not_yet(kernel: Kernel) -> None:
    await kernel.load(static("a", "x"))
    with pytest.raises(Conflict, match="'a' is loaded already"):
        await kernel.load(static("a", "y"))
    with pytest.raises(Conflict, match="requires b>=2, which is not there"):
        await kernel.load(static("c", "z", requires=("b>=2",)))
    with pytest.raises(NotFound, match="no extension named 'b'"):
        await kernel.unload("b")
    assert list(kernel.registries.tools) == ["x"]


async def test_a_host_adds_no_more_when_its_extension_has_left(kernel: Kernel) -> None:
    hosts: list[Host] = []

    async def run(host: Host, config: Any) -> AsyncIterator[None]:
        hosts.append(host)
        yield

    await kernel.load(living("late", run))
    hosts[0].add_tools(named_tool("while_in_service"))
    await kernel.unload("late")
    with pytest.raises(Conflict, match="'late' is no longer in service"):
        hosts[0].add_tools(named_tool("too_late"))
    with pytest.raises(Conflict, match="no longer in service"):
        async with hosts[0].spawn(Command(argv=("true",))):
            pass
    assert list(kernel.registries.tools) == []


async def test_each_has_a_directory_of_its_own(kernel: Kernel, tmp_path: Path) -> None:
    async def run(host: Host, config: Any) -> AsyncIterator[None]:
        (host.state_dir / "x").touch()
        yield

    before = os.umask(0)
    try:
        await kernel.load(living("keeper", run))
    finally:
        os.umask(before)
    assert (tmp_path / "keeper" / "x").exists()
    assert (tmp_path / "keeper").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("ends_by", ["unload", "failure"])
async def test_its_processes_end_with_it(tmp_path: Path, ends_by: str) -> None:
    started: list[Process] = []
    fail = asyncio.Event()

    async def run(host: Host, config: Any) -> AsyncIterator[None]:
        forgotten = AsyncExitStack()
        started.append(await forgotten.enter_async_context(host.spawn(Command(argv=("sleep", "600")))))
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(_raise_when(fail))
            yield
            task.cancel()

    async with asyncio.timeout(30), Spawner(tmp_path) as spawner:
        async with Kernel(Registries(), shared(tmp_path, spawner), Timing(restarts=0)) as kernel:
            await kernel.load(living("spawner", run))
            assert started[0].status is None
            if ends_by == "unload":
                await kernel.unload("spawner")
            else:
                fail.set()
                await until_state(kernel, "spawner", "failed")
            assert (await started[0].wait()).reason == "cancelled"


async def _raise_when(event: asyncio.Event) -> None:
    await event.wait()
    raise OSError("over")


async def test_cancelling_the_start_leaves_no_task(kernel: Kernel) -> None:
    before = asyncio.all_tasks()
    starting = asyncio.create_task(kernel.load(living("slow", hanging)))
    async with asyncio.timeout(10):
        while "left_over" not in kernel.registries.tools:
            await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
    assert asyncio.all_tasks() == before
    assert list(kernel.registries.tools) == []


async def test_a_guard_an_agent_and_the_rest_are_added_and_withdrawn(kernel: Kernel) -> None:
    from autohands.sdk import Agent, Allow, Middleware, Observer

    async def allow(tool: Any, call: Any, ctx: Any) -> Allow:
        return Allow()

    async def run(host: Host, config: Any) -> AsyncIterator[None]:
        host.add_guard("g", allow)
        host.add_agent(Agent(name="a", prompt=""))
        host.add_channel("c", object())  # type: ignore[arg-type]
        host.add_memory("m", object())  # type: ignore[arg-type]
        host.add_skills("s", object())  # type: ignore[arg-type]
        host.add_source("src", object())  # type: ignore[arg-type]
        host.add_observer(Observer(name="o", notice=lambda phase: None))
        host.add_middleware(Middleware(name="mw"))
        yield

    await kernel.load(living("all", run))
    registries = kernel.registries
    kinds = (
        *(registries.guards, registries.agents, registries.channels, registries.memories, registries.skills),
        *(registries.sources, registries.observers, registries.middleware),
    )
    assert [list(kind) for kind in kinds] == [["g"], ["a"], ["c"], ["m"], ["s"], ["src"], ["o"], ["mw"]]
    await kernel.unload("all")
    assert [list(kind) for kind in kinds] == [[]] * 8


async def test_a_status_line_for_each(kernel: Kernel) -> None:
    await kernel.start(
        [(static("good", "x"), None), (Extension(name="bad", version="2.0", summary="", requires=("no",)), None)]
    )
    assert kernel.extensions() == [
        ExtensionStatus("good", "1.0", "running"),
        ExtensionStatus("bad", "2.0", "failed", "requires no, which is not there"),
    ]


async def test_bad_tools_are_the_extensions_fault(kernel: Kernel) -> None:
    with pytest.raises(ConfigError):
        await kernel.load(static("bad", "no good"))
    with pytest.raises(BadRequest, match="tool name 'no good'"):
        kernel_host(kernel).add_tools(named_tool("no good"))


def kernel_host(kernel: Kernel) -> Host:
    """A host as an extension of that kernel would get it."""
    from autohands.core.host import ExtensionHost

    return ExtensionHost("direct", kernel.registries, shared(Path()))
