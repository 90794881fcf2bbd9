"""The working set: files, commands, decisions and what was asked, bounded, the newest kept."""

from autohands.protocols.messages import Message, Text, ToolCall, user
from autohands.protocols.tool import ToolResult
from autohands.runtime.working_set import MOST_ASKS, MOST_FILES, WorkingSet, section


def worked() -> WorkingSet:
    work = WorkingSet()
    work.asked(
        Message("user", (Text("Mend the parser"), Text("<environment>Today is Monday</environment>"))), opens=True
    )
    work.asked(user("and do not touch lib/"))
    work.did(ToolCall("1", "read_file", {"path": "a.py"}), ToolResult("x", {"sha256": "ab" * 32}), 1)
    work.did(ToolCall("2", "edit_file", {"path": "a.py"}), ToolResult("x", {"sha256_after": "cd" * 32}), 2)
    work.did(ToolCall("3", "exec", {"command": "pytest -q"}), ToolResult("1 failed", {"exit_code": 1}, failed=True), 3)
    work.did(ToolCall("4", "exec", {"command": "rm -rf /"}), ToolResult("denied: no", failed=True), 4)
    return work


def test_it_says_what_was_asked_and_done() -> None:
    text = worked().render(8_000)
    assert "Mend the parser" in text
    assert "- and do not touch lib/" in text
    assert "a.py: read_file in turn 1, sha256 abababababab; edit_file in turn 2, sha256 cdcdcdcdcdcd" in text
    assert "`pytest -q` → exit code 1; last line: 1 failed" in text
    assert "exec rm -rf /: denied: no" in text
    assert "environment" not in text


def test_it_is_bounded_and_keeps_the_newest() -> None:
    work = WorkingSet()
    for number in range(2_000):
        work.asked(user(f"ask {number}"))
        work.did(ToolCall("1", "read_file", {"path": f"f{number}"}), ToolResult("x"), number)
    assert len(work.asks.splitlines()) <= MOST_ASKS + 2
    assert "ask 0\n" in work.asks
    assert "ask 1999" in work.asks
    text = work.render(6_000)
    assert len(text.encode()) < 6_000
    assert "f1999" in text
    assert "f0:" not in text
    assert len(work.render(1 << 20).splitlines()) < MOST_ASKS + MOST_FILES + 20


def test_a_section_keeps_its_last_lines_and_counts_the_others() -> None:
    assert section("T", ["one", "two", "three"], 14) == "## T\n(1 older ones are left out)\n- two\n- three"
    assert section("T", [], 100) == ""
