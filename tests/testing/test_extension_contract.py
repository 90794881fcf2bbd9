"""The extension contract: against made-up extensions, and against all that are shipped."""

from collections.abc import AsyncIterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pytest
from msgspec import Struct

from autohands.protocols.extension import Extension as ExtensionProtocol
from autohands.protocols.extension import Host
from autohands.sdk import Agent, Extension, tool
from autohands.testing.contracts.extension import ExtensionContract
from autohands.testing.host import GivenSecrets, HostServices

OURS = "autohands.extensions."
SHIPPED = [point for point in entry_points(group="autohands.extensions") if point.value.startswith(OURS)]


class Words(Struct, frozen=True):
    """A table."""

    greeting: str = "Hello"


@tool(effect="read")
async def greet(name: str) -> str:
    """Greet."""
    return f"Hello, {name}"


class TestStatic(ExtensionContract):
    @pytest.fixture
    def extension(self) -> Extension:
        agent = Agent(name="greeter", prompt="Greet.")
        return Extension(name="x-static", version="1.0", summary="Greets.", tools=(greet,), agents=(agent,))


class TestWithLifetime(ExtensionContract):
    @pytest.fixture
    def extension(self) -> Extension:
        extension = Extension(name="x-alive", version="1.0", summary="Greets.", config=Words)

        @extension.setup
        async def run(host: Host, config: Any) -> AsyncIterator[None]:
            (host.state_dir / "mark").touch()
            assert host.secrets.get(config.greeting) is None
            host.add_tools(greet)
            yield

        return extension


@pytest.mark.parametrize("point", SHIPPED, ids=lambda point: point.name)
class TestShipped(ExtensionContract):
    @pytest.fixture
    def extension(self, point: EntryPoint) -> ExtensionProtocol:
        extension: ExtensionProtocol = point.load()
        return extension

    @pytest.fixture
    def services(self) -> HostServices:
        return HostServices(secrets=GivenSecrets({"OPENAI_API_KEY": "sk-test", "ANTHROPIC_API_KEY": "sk-test"}))

    def test_its_name_is_that_of_its_entry_point(self, extension: ExtensionProtocol, point: EntryPoint) -> None:
        assert extension.manifest.name == point.name
