"""Tool calls in the text: which are taken, which are refused with the reason, and what stays text."""

import json

import pytest

from autohands.extensions.provider_openai.listening import LOOK_CHARACTERS, Listening
from autohands.extensions.provider_openai.printed import PrintedCall, Refused, read_printed
from autohands.protocols.messages import Reply
from autohands.protocols.provider import TextPiece
from autohands.sdk.arguments import ARGUMENT_BYTES

TOOLS = {
    "read_file": {"type": "object", "properties": {"path": {"type": "string"}, "limit": {"type": "integer"}}},
    "glob": {"type": "object", "properties": {}},
}
READ = PrintedCall("read_file", '{"path": "a.txt"}')
BODY = '{"name": "read_file", "arguments": {"path": "a.txt"}}'
TAGGED = f"<tool_call>\n{BODY}\n</tool_call>"


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        (TAGGED, [READ]),
        (f"<tool_call>{BODY}", [READ]),
        (f"{TAGGED}\n{TAGGED}\n", [READ, READ]),
        ('<tool_call>{"name": "glob"}</tool_call>', [PrintedCall("glob", "{}")]),
        ('<tool_call>{"name": "nobody", "arguments": {}}</tool_call>', [PrintedCall("nobody", "{}")]),
        (f"[TOOL_CALLS] [{BODY}, {BODY}]", [READ, READ]),
        (f"[TOOL_CALLS]{BODY}", [READ]),
        ('[TOOL_CALLS]read_file[ARGS]{"path": "a.txt"}', [READ]),
        ('[TOOL_CALLS]read_file{"path": "a.txt"}[TOOL_CALLS]glob{}', [READ, PrintedCall("glob", "{}")]),
        ('[TOOL_CALLS]read_file[CALL_ID]x1[ARGS]{"path": "a.txt"}', [READ]),
        ('<function=read_file>{"path": "a.txt"}</function>', [READ]),
        ("<function=read_file>\n<parameter=path>\na.txt\n</parameter>\n</function>", [READ]),
        (
            "<tool_call>\n<function=read_file>\n<parameter=path>7</parameter>\n<parameter=limit>7</parameter>\n"
            "</function>\n</tool_call>",
            [PrintedCall("read_file", '{"path": "7", "limit": 7}')],
        ),
        ("<function=glob></function>", [PrintedCall("glob", "{}")]),
        (BODY, [READ]),
        (f"[{BODY}]", [READ]),
        ('{"name": "read_file", "parameters": {"path": "a.txt"}}', [READ]),
        (f"```json\n{BODY}\n```", [READ]),
        (f"```\n{BODY}\n```\n", [READ]),
    ],
)
def test_pr09_calls_printed_in_a_known_format_are_taken(text: str, calls: list[PrintedCall]) -> None:
    found = read_printed(text, TOOLS, cut=False)
    assert isinstance(found, list)
    assert [(each.name, json.loads(each.arguments)) for each in found] == [
        (each.name, json.loads(each.arguments)) for each in calls
    ]


@pytest.mark.parametrize(
    ("text", "name", "reason"),
    [
        (f"{TAGGED}\nThe file says hello.", "read_file", "more text follows it"),
        ('<tool_call>{"name": "read_file", "arguments": {"path": "no}</tool_call>', "read_file", "printed as text"),
        ('[TOOL_CALLS]read_file[ARGS]{"path": ', "read_file", "cannot be read"),
        ('<function=read_file>{"path": "a"}', "read_file", "does not end with </function>"),
        (
            "<function=read_file>\n<parameter=path> a\n<parameter=limit> 1\n</parameter></function>",
            "read_file",
            "a parameter does not end",
        ),
        (f"[TOOL_CALLS]{BODY} and then", "read_file", "more text"),
        ("<function=glob>what?</function>", "glob", "more text"),
    ],
)
def test_pr09_what_is_meant_as_a_call_and_unclear_is_refused_with_the_reason(text: str, name: str, reason: str) -> None:
    found = read_printed(text, TOOLS, cut=False)
    assert isinstance(found, Refused)
    assert found.name == name
    assert reason in found.reason
    assert "make the call itself" in found.reason


def test_pr08_a_printed_call_that_was_cut_off_says_so() -> None:
    found = read_printed('<tool_call>{"name": "read_file", "argu', TOOLS, cut=True)
    assert isinstance(found, Refused)
    assert "output limit" in found.reason


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "somebody", "arguments": {}}',
        '{"name": "read_file"}',
        '{"name": "read_file", "arguments": {}, "note": "an example"}',
        '{"name": "read_file", "arguments": "a.txt"}',
        f"{BODY} is how it looks.",
        f"```json\n{BODY}\n```\nThat is how it looks.",
        "```python\nprint(1)\n```",
        "[]",
        "[1, 2]",
        "{broken",
        "<tool_call>",
        "<function=",
    ],
)
def test_pr09_text_that_only_looks_like_a_call_is_text(text: str) -> None:
    assert read_printed(text, TOOLS, cut=False) is None


def heard(*pieces: str, native: bool = False, stop: bool = True) -> tuple[list[str], Reply]:
    """What was told piece by piece, and the reply."""
    listening = Listening(TOOLS)
    told = [delta.text for piece in pieces for delta in listening.text(piece) if isinstance(delta, TextPiece)]
    if native:
        listening.call(0, id="call_1", name="glob")
        listening.arguments("{}", 0)
    if stop:
        listening.stop = "end"
        told += [delta.text for delta in listening.release() if isinstance(delta, TextPiece)]
    return told, listening.finish()


@pytest.mark.parametrize(
    ("text", "said", "names"),
    [
        (f"I look.\n\n{TAGGED}", "I look.\n\n", ["read_file"]),
        (BODY, "", ["read_file"]),
        (f"I look.\n```json\n{BODY}\n```", "I look.\n", ["read_file"]),
        (f"Like this:\n```\n{TAGGED}\n```\nSee?", f"Like this:\n```\n{TAGGED}\n```\nSee?", []),
        ("```js\nlet a = {};\n```\nand `b`", "```js\nlet a = {};\n```\nand `b`", []),
        (f"```sh\nls\n```\n{TAGGED}", "```sh\nls\n```\n", ["read_file"]),
        ("[1] a < b ``` {", "[1] a < b ``` {", []),
        ("[TOOL_CALLS]glob[ARGS]{}", "", ["glob"]),
        ("  \n", "  \n", []),
        ("{" + '"x": 1, ' * 20 + "}", "{" + '"x": 1, ' * 20 + "}", []),
    ],
)
def test_pr09_text_streams_on_and_calls_do_not_whatever_the_pieces(text: str, said: str, names: list[str]) -> None:
    for size in (1, 2, 3, 7, len(text)):
        cuts = [text[at : at + size] for at in range(0, len(text), size)]
        told, reply = heard(*cuts)
        assert "".join(told) == reply.message.text == said
        assert [call.name for call in reply.tool_calls] == names


def test_plain_text_is_not_held_back() -> None:
    told, _ = heard("One ", "two < three ", "four", stop=False)
    assert told == ["One ", "two < three ", "four"]


def test_pr09_beside_calls_of_the_services_own_text_is_text() -> None:
    told, reply = heard(TAGGED, native=True)
    assert "".join(told) == reply.message.text == TAGGED
    assert [call.name for call in reply.tool_calls] == ["glob"]


def test_a_refused_call_keeps_the_text_and_the_reason() -> None:
    told, reply = heard(f"{TAGGED} Done.")
    assert "".join(told) == reply.message.text == f"{TAGGED} Done."
    (call,) = reply.tool_calls
    assert (call.name, call.arguments) == ("read_file", {})
    assert "more text follows it" in (call.invalid or "")


def test_what_never_ends_is_not_held_for_ever() -> None:
    listening = Listening(TOOLS)
    piece = "x" * 1_000_000
    assert listening.text("<tool_call>") == ()
    told = [delta for _ in range(ARGUMENT_BYTES // len(piece) + 1) for delta in listening.text(piece)]
    assert told
    assert listening.stop == "length"


def test_json_is_weighed_for_a_few_characters_only() -> None:
    told, _ = heard("{", '"a": "' + "b" * LOOK_CHARACTERS, stop=False)
    assert told == ['{"a": "' + "b" * LOOK_CHARACTERS]


def test_pr08_a_printed_object_inside_a_string_is_not_unpacked() -> None:
    _, reply = heard('<tool_call>{"name": "read_file", "arguments": "{}"}</tool_call>')
    (call,) = reply.tool_calls
    assert "inside a JSON string" in (call.invalid or "")
