"""What the tests of the core are made of: services in memory, and extensions that tell what becomes of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from msgspec import Struct

from autohands.core.host import Shared
from autohands.protocols.extension import Host, Manifest
from autohands.protocols.process import Spawn
from autohands.sdk import Extension, tool
from autohands.testing.host import BlobsInMemory, GivenSecrets, NoModels, no_http, no_processes

Lifetime = Callable[[Host, Any], AsyncIterator[None]]


def shared(state_dir: Path, spawn: Spawn = no_processes) -> Shared:
    """Services for a kernel."""
    return Shared(
        http=no_http,
        secrets=GivenSecrets(),
        spawn=spawn,
        blobs=BlobsInMemory(),
        models=NoModels(),
        state_dir=state_dir,
    )


class Settings(Struct, frozen=True):
    """The table of an extension."""

    level: int = 3


def named_tool(name: str) -> Any:
    """A tool that answers with its own name."""

    @tool(name=name, effect="read")
    async def answer() -> str:
        """Answer."""
        return name

    return answer


def static(name: str, *tools: str, requires: tuple[str, ...] = ()) -> Extension:
    """An extension that only lists tools."""
    return Extension(
        name=name, version="1.0", summary="A test.", requires=requires, tools=tuple(map(named_tool, tools))
    )


def telling(name: str, told: list[str], *, requires: tuple[str, ...] = (), version: str = "1.0") -> Extension:
    """An extension that says when it enters and leaves."""
    extension = Extension(name=name, version=version, summary="A test.", requires=requires)

    @extension.setup
    async def run(host: Host, config: Any) -> AsyncIterator[None]:
        told.append(f"+{name}")
        host.add_tools(named_tool(f"{name.replace('-', '_')}_tool"))
        yield
        told.append(f"-{name}")

    return extension


def living(name: str, lifetime: Lifetime, *, extra: str | None = None, config: type[Struct] | None = None) -> Extension:
    """An extension with that lifetime."""
    extension = Extension(name=name, version="1.0", summary="A test.", extra=extra, config=config)
    extension.setup(lifetime)
    return extension


def manifest(name: str, *requires: str, version: str = "1.0") -> Manifest:
    """A manifest that is in order."""
    return Manifest(name=name, version=version, summary="A test.", requires=requires)
