"""The composition root: the only place where the parts meet."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from autohands import storage as storages
from autohands.bridge import RunLoopBridge
from autohands.config import Loaded, Paths, Secrets, home_directory, load, load_agents, prepare_home
from autohands.config.schema import Config
from autohands.core.discovery import Found, discover
from autohands.core.host import Shared as HostShared
from autohands.core.kernel import Kernel
from autohands.core.registry import Registries
from autohands.core.stopping import Switch
from autohands.core.workspace import Workspaces
from autohands.hands import Hands, Parts, Place, guards_of, settings_of, source_rate
from autohands.protocols.context import Models
from autohands.protocols.errors import BadRequest, ConfigError, Conflict
from autohands.protocols.extension import Extension
from autohands.protocols.loop import DEFAULT
from autohands.protocols.storage import Storage
from autohands.runloop.loop import RunLoop
from autohands.runloop.middleware import surrounded
from autohands.runloop.modes import SHARED
from autohands.runloop.queue import TaskQueue
from autohands.runtime.runtime import AgentRuntime, Shared
from autohands.runtime.stopping import Stopping
from autohands.sandbox.environment import clean_environment
from autohands.sandbox.jobs import JobTable
from autohands.sandbox.profiles import confinement as confinement  # noqa: PLC0414  shown by `doctor`
from autohands.sandbox.spawn import Spawner
from autohands.sdk.http import Http
from autohands.sdk.identity import new_id
from autohands.storage import backups as backups  # noqa: PLC0414  for `backup` and `doctor`
from autohands.storage import damage as damage  # noqa: PLC0414  for `restore` and `doctor`
from autohands.storage.overdue import Inspector


@asynccontextmanager
async def open(
    home: str | Path | None = None,
    workspace: str | Path | None = None,
    config: Mapping[str, Any] | None = None,
    *,
    config_file: str | Path | None = None,
    serve: bool = True,
    shared: bool = False,
) -> AsyncIterator[Hands]:
    """Open AutoHands in this program, and close it when the block ends: runs that are under way are interrupted, and
    can be resumed.

    `home` is the state directory (`AUTOHANDS_HOME`, else `~/.autohands`), `workspace` the directory that tools see
    (else the current one), `config` what stands above the configuration file, in its shape. Without `serve` nothing is
    loaded or run: for looking at what is recorded. With `shared` it serves the queues that all programs submit to,
    instead of one of its own.

    Raises:
        ConfigError: The configuration or the state directory is wrong; everything that is wrong is named.
        BadRequest: The workspace is no readable directory.
        StorageUnavailable: The database cannot be opened.
    """
    paths = prepare_home(Path(home).expanduser().absolute() if home else home_directory(os.environ))
    found = discover(paths.home)
    read = _reader(paths, found, config, Path(config_file) if config_file else None)
    loaded = read()
    root = _workspace(workspace or loaded.config.workspace)
    place = Place(paths, root, workspace is not None, DEFAULT if shared else new_id("hands"))
    async with AsyncExitStack() as stack:
        parts = await _compose(stack, place, loaded)
        hands = Hands(parts, found, read)
        if serve:
            hands.problems += await _start(parts, found)
            parts.loop.add_service("kill switch", parts.stopping.watch)
            if shared:
                _hear_extensions(parts)
            await stack.enter_async_context(_serving(parts.loop))
        yield hands


def _reader(
    paths: Paths, found: list[Found], options: Mapping[str, Any] | None, file: Path | None
) -> Callable[[], Loaded]:
    """What reads the configuration, whenever it is called."""
    kinds = {each.name: dict if each.extension is None else each.extension.config for each in found}
    return lambda: load(paths.home, os.environ, file=file, options=options, extensions=kinds)


async def _compose(stack: AsyncExitStack, place: Place, loaded: Loaded) -> Parts:
    """Build every part and hand it what it needs; `stack` closes them in reverse order."""
    paths, config = place.paths, loaded.config
    store = await stack.enter_async_context(storages.open(paths.database))
    spawner = await stack.enter_async_context(Spawner(paths.home))
    jobs = await stack.enter_async_context(JobTable(spawner, store))
    workspaces = stack.enter_context(Workspaces())
    registries = Registries()
    queue = _queue(store, registries, place, config)
    shared = _shared(store, spawner, jobs, workspaces, queue)
    stopping = Stopping(Switch(paths.home).reason, store, jobs.end_all)
    guards = guards_of(loaded, paths.home)
    runtime = AgentRuntime(store, registries.snapshot, guards, shared, settings_of(config), stopping)
    return Parts(
        place=place,
        loaded=loaded,
        storage=store,
        journal=store.journal,
        inspector=Inspector(paths.database),
        kernel=await _kernel(stack, runtime.models(registries.providers), registries, shared, paths),
        bridge=RunLoopBridge(queue, store, store.journal),
        runtime=runtime,
        stopping=stopping,
        tasks=queue,
        loop=RunLoop(
            store.engine,
            surrounded(runtime.handle, registries.middleware.values),
            queue,
            slots=config.limits.runs,
            modes=SHARED if place.queue == DEFAULT else {DEFAULT: (place.queue,)},
        ),
    )


def _queue(store: Storage, registries: Registries, place: Place, config: Config) -> TaskQueue:
    """The queue, with what extensions and the configuration put around it, and the limits of trees."""
    rate, limits = source_rate(config, store), config.limits
    return TaskQueue(
        store,
        lambda: [rate, *registries.middleware.values()],
        depth=limits.depth,
        children=limits.children,
        descendants=limits.descendants,
        workspace=str(place.workspace),
    )


def _shared(
    store: storages.Store, spawner: Spawner, jobs: JobTable, workspaces: Workspaces, queue: TaskQueue
) -> Shared:
    """What all runs share."""
    return Shared(
        workspace_of=workspaces.get,
        spawn=spawner,
        jobs_of=jobs.of,
        blobs=store.blobs,
        secrets=Secrets(os.environ),
        submit=queue.submit,
        environment=lambda: clean_environment(os.environ),
    )


async def _kernel(
    stack: AsyncExitStack, models: Models, registries: Registries, shared: Shared, paths: Paths
) -> Kernel:
    """The kernel, with what its extensions may use."""
    http = Http()
    stack.push_async_callback(http.close)
    host = HostShared(
        http=http,
        secrets=shared.secrets,
        spawn=shared.spawn,
        blobs=shared.blobs,
        models=models,
        state_dir=paths.state,
    )
    return await stack.enter_async_context(Kernel(registries, host))


def _hear_extensions(parts: Parts) -> None:
    """Have the loop hear the sources and tell the observers that extensions bring, as they come and go."""
    registries = parts.kernel.registries

    def sync() -> None:
        parts.loop.sync(registries.sources.items(), registries.observers.values())

    registries.sources.follow(sync)
    registries.observers.follow(sync)
    sync()


@asynccontextmanager
async def _serving(loop: RunLoop) -> AsyncIterator[None]:
    """Run the loop beside the block; if it fails, the block is cancelled and the failure raised in its place."""
    try:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(loop.run(), name="run loop")
            try:
                yield
            finally:
                running.cancel()
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from group.exceptions[0].__cause__
        raise


def _workspace(path: str | Path | None) -> Path:
    root = Path(path or Path.cwd()).expanduser().resolve()
    if not root.is_dir():
        raise BadRequest(f"the workspace {root} is no directory", hint="pass --workspace DIR, or make it first")
    return root


async def _start(parts: Parts, found: list[Found]) -> list[str]:
    """Start the extensions and add the owner's agents. Returns a line on each that is wrong."""
    _check_services(found, parts.loaded)
    ready = [each.extension for each in found if each.extension is not None]
    wanted = [(extension, _configuration(extension, parts.loaded)) for extension in ready]
    problems = [f"extension {each.name}: {each.reason}" for each in await parts.kernel.start(wanted)]
    agents, wrong = load_agents(parts.place.paths.agents, parts.loaded.config.agents)
    for agent in agents:
        try:
            parts.kernel.registries.agents.add("configuration", (agent.name, agent))
        except Conflict as error:
            wrong.append(error.text)
    return problems + wrong


def _configuration(extension: Extension, loaded: Loaded) -> msgspec.Struct | None:
    """An extension's table; a provider that takes further services (`named`) gets those of its kind."""
    name, kind = extension.manifest.name, extension.config
    table = loaded.extensions.get(name)
    services = {
        service: {key: value for key, value in msgspec.structs.asdict(entry).items() if key != "kind" and value}
        for service, entry in loaded.config.providers.items()
        if f"provider-{entry.kind}" == name
    }
    if not services or kind is None:
        return table
    field = next((field for field in msgspec.structs.fields(kind) if field.name == "named"), None)
    if field is None:
        raise ConfigError(f"providers.{next(iter(services))}: {name} takes no further services")
    return msgspec.structs.replace(table or kind(), named=msgspec.convert(services, field.type))


def _check_services(found: list[Found], loaded: Loaded) -> None:
    """Raise `ConfigError` where the configuration names a kind of provider that nobody brings."""
    known = {each.name.removeprefix("provider-") for each in found if each.name.startswith("provider-")}
    for service, entry in loaded.config.providers.items():
        if entry.kind not in known:
            raise ConfigError(f"providers.{service}.kind: {entry.kind!r} is none of {', '.join(sorted(known))}")
