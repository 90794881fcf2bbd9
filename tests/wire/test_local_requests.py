"""Requests to Ollama and Ark against golden files, and against what the services demand."""

import json
from typing import Any

import pytest

from autohands.extensions.provider_ark.account import ARK
from autohands.extensions.provider_local.facts import Facts
from autohands.extensions.provider_local.wire import OllamaEncoder
from autohands.extensions.provider_openai.wire_chat import ChatEncoder
from autohands.extensions.provider_openai.wire_responses import Link, ResponsesEncoder
from autohands.protocols.messages import Message, user
from autohands.sdk.fragments import Encoder, Fragments
from autohands.testing.vendor_ark import FakeArkChat, FakeArkResponses
from autohands.testing.vendor_ollama import FakeOllama
from wire.conversation import MESSAGES, VENDOR, golden, load, request, written

SEED = "doubao-seed-2-1-pro-260628"
FACTS = Facts(window=16_384, thinks=True)


def ollama(facts: Facts = FACTS) -> OllamaEncoder:
    return OllamaEncoder(lambda model: facts)


CASES = [
    ("ollama", ollama(), request(thinking="low")),
    ("ollama_plain", ollama(Facts()), request(messages=MESSAGES[-1:], tools=(), system="", max_output_tokens=None)),
    ("ark_chat", ChatEncoder(ARK), request(model=SEED, thinking="high")),
    ("ark_chat_off", ChatEncoder(ARK), request(model="deepseek-v3-2-251201", thinking="off", messages=MESSAGES[-1:])),
    ("ark_responses", ResponsesEncoder(ARK), request(model=SEED, thinking="low", messages=MESSAGES[2:])),
]


@pytest.mark.parametrize(("name", "encoder", "wanted"), CASES, ids=[case[0] for case in CASES])
async def test_a_request_is_the_golden_one(name: str, encoder: Encoder, wanted: Any) -> None:
    assert json.loads(await written(encoder, wanted)) == golden(name)


@pytest.mark.parametrize("previous", [None, "resp_1"])
async def test_a_link_of_a_chain_is_the_golden_one(previous: str | None) -> None:
    encoder = ResponsesEncoder(ARK)
    wanted = request(model=SEED, messages=MESSAGES[:1] if previous is None else MESSAGES[-1:])
    messages = await Fragments(encoder.message, load).of(wanted.messages, VENDOR)
    tools = [encoder.tool(tool) for tool in wanted.tools]
    body = json.loads(encoder.link(wanted, messages, tools, Link(previous, 1_800_000_000)))
    assert body == golden("ark_link_first" if previous is None else "ark_link_next")


@pytest.mark.parametrize(
    ("encoder", "vendor"),
    [(ollama(), FakeOllama()), (ChatEncoder(ARK), FakeArkChat()), (ResponsesEncoder(ARK), FakeArkResponses())],
)
async def test_the_service_takes_every_beginning_of_a_conversation(encoder: Encoder, vendor: Any) -> None:
    for length in (1, 3, 4, 6, 7):
        # sealed reasoning is OpenAI's: Ark's own has none
        body = json.loads(await written(encoder, request(model=SEED, messages=MESSAGES[:length])))
        assert vendor.check(body) is None, (length, vendor.check(body))


async def test_a_longer_request_to_ollama_begins_with_the_bytes_of_the_shorter_one() -> None:
    encoder = ollama()
    short = await written(encoder, request(messages=MESSAGES[:6]))
    longer = await written(encoder, request())
    shared = short.index(b',"tools":') - 1
    assert shared > 800
    assert longer.startswith(short[:shared])


async def test_pr12_a_reply_without_words_leaves_no_empty_message() -> None:
    body = json.loads(
        await written(ollama(), request(system="", messages=(user("Go."), Message("assistant", ()), user("On."))))
    )
    assert len(body["messages"]) == 2


@pytest.mark.parametrize(
    ("level", "facts", "think"),
    [
        (None, Facts(thinks=True), None),
        ("high", Facts(thinks=True), True),
        ("off", Facts(thinks=True), False),
        ("high", Facts(thinks=True, thinks_by_level=True), "high"),
        ("off", Facts(thinks=True, thinks_by_level=True), False),
        ("high", Facts(thinks=False), None),
        ("high", Facts(), None),
    ],
)
async def test_thinking_is_asked_for_as_the_model_takes_it(level: Any, facts: Facts, think: object) -> None:
    body = json.loads(await written(ollama(facts), request(thinking=level, messages=MESSAGES[-1:])))
    assert body.get("think") == think
