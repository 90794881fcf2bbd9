"""Facts: what is exact in a text is found, and its lines are kept within bounds."""

import pytest

from autohands.protocols.messages import Message, Text, ToolCall, ToolReturn, user
from autohands.runtime.facts import CUT, MOST_FACTS, Fact, find_facts, identifiers, merged, missing

CALL = ToolCall("1", "file_ticket", {"id": "OPS-1", "path": "a/b"})
TROUBLE = "error: code 1234\n" + "line 5678\n" * 300


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ("see src/core/a.py, line 412.", {"src/core/a.py", "412"}),
        ("OPS-4711 is open", {"OPS-4711"}),
        ("at https://example.com/x?y=1 now", {"https://example.com/x?y=1"}),
        ("version 1.2.3 took 80 ms", {"1.2.3", "80 ms"}),
        ("write to ann@example.com", {"ann@example.com"}),
        ("commit deadbeef1", {"deadbeef1"}),
        ("nothing exact in 12 words here", set()),
        ("data " + "aGVsbG8/" * 40_000, set()),
    ],
)
def test_what_is_exact_is_found(text: str, exact: set[str]) -> None:
    assert identifiers(text) == exact


def test_facts_come_from_all_who_speak_and_long_results_tell_of_trouble_only() -> None:
    messages = [
        user("The port is 8443. Thanks."),
        Message("assistant", (Text("I chose 7070.\nNo more."), CALL)),
        Message("tool", (ToolReturn("1", "filed as OPS-2"), ToolReturn("2", TROUBLE))),
        Message("tool", (ToolReturn("3", f"[6,000 bytes are left out; {CUT} them: call 'call_9999']"),)),
    ]
    assert list(find_facts(messages)) == [
        Fact("The port is 8443."),
        Fact("I chose 7070."),
        Fact("file_ticket id: OPS-1"),
        Fact("filed as OPS-2", "tool"),
        Fact("error: code 1234", "tool"),
    ]


def test_the_oldest_of_what_tools_said_goes_first() -> None:
    said = [Fact(f"said {number}000") for number in range(10)]
    told = [Fact(f"told {number}000", "tool") for number in range(MOST_FACTS)]
    kept = merged(said, [*told, *told])
    assert len(kept) == MOST_FACTS
    assert set(said) <= set(kept)
    assert told[0] not in kept
    assert told[-1] in kept


def test_a_fact_is_missing_where_one_of_its_exact_things_is() -> None:
    facts = [Fact("move a/b.py to c/d.py"), Fact("port 8443")]
    assert missing(facts, "a/b.py became something; 8443") == facts[:1]
    assert missing(facts, "a/b.py, c/d.py, 8443") == []
