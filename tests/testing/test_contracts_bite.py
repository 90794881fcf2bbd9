"""The contracts fail where something does not keep them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from autohands.protocols.channel import Incoming, Outgoing
from autohands.protocols.guard import Ask
from autohands.protocols.memory import Memory
from autohands.protocols.messages import ToolCall
from autohands.sdk import Extension, Host, tool
from autohands.sdk.identity import new_id
from autohands.testing.channel import MemoryChannel
from autohands.testing.contracts.channel import ChannelContract
from autohands.testing.contracts.extension import ExtensionContract
from autohands.testing.contracts.guard import GuardContract
from autohands.testing.contracts.memory import MemoryContract
from autohands.testing.contracts.tool import ToolContract
from autohands.testing.host import HostServices
from autohands.testing.memory import MemoryInMemory


class Keyed(Struct):
    """A table without defaults."""

    api_key: str


@tool(effect="read")
async def plain(word: str) -> str:
    """Answer."""
    return word


def extension(**fields: Any) -> Extension:
    return Extension(**{"name": "x-bad", "version": "1.0", "summary": "Bad.", **fields})


@pytest.mark.parametrize("fields", [{"name": "X_Bad"}, {"version": "new"}, {"summary": " "}])
def test_a_wrong_manifest_is_seen(fields: dict[str, str]) -> None:
    with pytest.raises(AssertionError):
        ExtensionContract().test_its_manifest_says_who_it_is(extension(**fields))


def test_a_table_without_defaults_is_seen() -> None:
    with pytest.raises(TypeError):
        ExtensionContract().test_its_configuration_has_defaults(extension(config=Keyed))


async def test_a_task_that_is_left_behind_is_seen(tmp_path: Path) -> None:
    left: list[asyncio.Task[bool]] = []
    bad = extension()

    @bad.setup
    async def run(host: Host, config: Any) -> AsyncIterator[None]:
        left.append(asyncio.create_task(asyncio.Event().wait()))
        yield

    check = ExtensionContract().test_it_enters_service_and_leaves_in_time_again_and_again
    with pytest.raises(AssertionError, match="leaves no task behind"):
        await check(bad, None, HostServices(), tmp_path)
    for task in left:
        task.cancel()
    await asyncio.wait(left)


async def test_a_name_that_is_added_twice_is_seen(tmp_path: Path) -> None:
    check = ExtensionContract().test_it_enters_service_and_leaves_in_time_again_and_again
    with pytest.raises(AssertionError, match="a name of its own"):
        await check(extension(tools=(plain, plain)), None, HostServices(), tmp_path)


def test_an_open_schema_is_seen() -> None:
    open_schema = replace(plain.schema, parameters={"type": "object", "properties": {}})

    class Open:
        schema = open_schema

    with pytest.raises(AssertionError):
        ToolContract().test_its_schema_can_be_shown_to_every_model(Open())  # type: ignore[arg-type]


async def test_a_tool_that_answers_with_no_result_is_seen() -> None:
    class Silent:
        timeout_seconds = 1.0

        def validate(self, arguments: dict[str, Any]) -> dict[str, Any]:
            return arguments

        async def preview(self, ctx: object, arguments: dict[str, Any]) -> str:
            return ""

        async def run(self, ctx: object, arguments: dict[str, Any]) -> None:
            return None

    with pytest.raises(AssertionError):
        await ToolContract().test_it_answers_with_text_and_can_be_previewed(Silent(), {}, None)


async def test_a_guard_without_a_reason_or_fooled_by_odd_arguments_is_seen() -> None:
    async def mute(tool: Any, call: ToolCall, ctx: Any) -> Ask:
        return Ask(" ")

    async def fooled(tool: Any, call: ToolCall, ctx: Any) -> Any:
        from autohands.sdk import Allow

        return Allow() if len(call.arguments) > 1 else Ask("look at it")

    call, ctx = ToolCall("c", "plain", {"word": "x"}), None
    with pytest.raises(AssertionError):
        await GuardContract().test_it_answers_in_time_with_a_reason_and_changes_nothing(mute, plain, call, ctx)  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        await GuardContract().test_arguments_that_nobody_expects_make_it_no_milder(fooled, plain, call, ctx)  # type: ignore[arg-type]


async def test_a_channel_without_ids_is_seen() -> None:
    class Anonymous(MemoryChannel):
        async def receive(self) -> AsyncIterator[Incoming]:
            async for message in super().receive():
                yield replace(message, id="")

        async def send(self, message: Outgoing) -> str:
            return ""

    channel = Anonymous()
    with pytest.raises(AssertionError):
        await ChannelContract().test_what_is_said_comes_in_order_each_with_an_id(channel, channel.say)
    with pytest.raises(AssertionError):
        await ChannelContract().test_an_answer_has_an_id_and_sending_its_key_again_does_no_harm(channel, channel.say)


async def test_a_memory_that_keeps_everything_twice_is_seen() -> None:
    class Doubling(MemoryInMemory):
        async def store(self, memory: Memory) -> Memory:
            return await super().store(replace(memory, content=memory.content + new_id("x")))

    with pytest.raises(AssertionError):
        await MemoryContract().test_the_same_content_of_the_same_type_is_kept_once(Doubling())
    with pytest.raises(AssertionError):
        await MemoryContract().test_what_is_stored_is_got_back_whole(Doubling())
