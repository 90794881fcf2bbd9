"""What a recording holds a request to, and what it lets pass."""

import pytest

from autohands.extensions.provider_replay.fingerprint import KEPT_CHARACTERS, Asked, difference, fingerprint, normal
from autohands.protocols.messages import BlobRef, Message, Text, Thinking, ToolCall, ToolReturn, user
from autohands.protocols.provider import Request, ToolSchema

PICTURE = BlobRef("a" * 64, "image/png", 7)


def request(*messages: Message, **changes: object) -> Request:
    return Request(model="m", system=str(changes.get("system", "s")), messages=messages, tools=())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("wrote /tmp/abc123/work/report.md", "wrote /var/folders/x/T/work/report.md"),
        ("took 0.12s", "took 3.4s"),
        ("took 120 ms", "took 7 ms"),
        ("at 2026-11-22T10:46:00+01:00", "at 2027-01-01 09:00:01.5Z"),
        ("-rw-r--r-- 1 u u 7 Nov 22 10:46 a", "-rw-r--r-- 1 u u 7 Jan  1 2025 a"),
        ("started, pid 4711", "started, pid 12"),
        ("task_01890a5d-ac96-774b-bcce-b302099a8057 ran", "task_01890a5d-ac96-774b-bcce-b302099a8058 ran"),
        ("<object at 0x7f3a2c1b>", "<object at 0x10e2f4c80>"),
        ("Python 3.11.7", "Python 3.14.0rc1"),
        ("a \r\nb\n", "a\nb"),
    ],
)
def test_what_varies_by_machine_and_time_does_not_count(one: str, other: str) -> None:
    assert normal(one) == normal(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("wrote /tmp/x/report.md", "wrote /tmp/x/other.md"),
        ("total 12.50 EUR", "total 12.51 EUR"),
        ("order of 2026-09-01", "order of 2026-09-02"),
        ("a/b.txt", "a/c.txt"),
        ("3 files", "4 files"),
        ("http://host/a/b", "http://other/a/b"),
        ("x" * KEPT_CHARACTERS + "y", "x" * KEPT_CHARACTERS + "z"),
    ],
)
def test_everything_else_counts(one: str, other: str) -> None:
    assert normal(one) != normal(other)


def test_a_request_is_known_by_what_was_said_since_the_model_spoke() -> None:
    asked = fingerprint(
        request(
            user("first"),
            Message("assistant", (Text("never mind"),)),
            user("second"),
            Message(
                "assistant", (Thinking("hm"), Text("I read"), ToolCall("c1", "read_file", {"path": "/tmp/x/a", "n": 1}))
            ),
            Message("tool", (ToolReturn("c1", "text"), ToolReturn("c2", "", (PICTURE,), failed=True))),
            Message("user", (Text("hurry"), Text("<environment>Today is Monday.</environment>"))),
        )
    )
    assert asked == Asked(
        2,
        (
            'call: read_file {"n":1,"path":"<path>/a"}',
            "result: text",
            "failure:  [1 images]",
            "user: hurry",
        ),
    )


def test_system_prompt_tools_and_ids_do_not_count() -> None:
    one = Request(model="m", system="s", messages=(user("x"),), tools=(ToolSchema("f", "d", {}),))
    assert fingerprint(one) == fingerprint(Request(model="other", system="t", messages=(user("x"),)))


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        (("result: a\nb\nc",), ("result: a\nX\nc",), ["turn 3, part 1", "-b", "+X"]),
        (("user: x", "result: y"), ("user: x",), ["part 2 is missing: result: y"]),
        (("user: x",), ("user: x", "user: z"), ["part 2 is not recorded: user: z"]),
        (("\n".join(map(str, range(99))),), ("\n".join(map(str, range(99, 198))),), ["lines more"]),
    ],
)
def test_a_difference_is_shown_in_a_few_lines(old: tuple[str, ...], new: tuple[str, ...], shown: list[str]) -> None:
    told = difference(Asked(2, old), Asked(2, new))
    assert all(each in told for each in shown), told
    assert len(told.splitlines()) < 22
