"""Command lines: what is in them, and for which of them a lasting rule is offered."""

from __future__ import annotations

import pytest

from autohands.runtime.guards.commands import program, read_line, too_wide


def test_every_command_of_a_line_is_found() -> None:
    line = read_line("cd x && A=1 make -j2 'a b' | tee log > out.txt; sudo -n env B=2 ls $(whoami)")
    programs = {program(words) for words in line.commands}
    assert {"cd", "make", "tee", "sudo", "env", "ls", "whoami"} <= programs
    assert ("make", "-j2", "a b") in line.commands
    assert line.redirects == ("out.txt",)
    assert not line.simple


@pytest.mark.parametrize("text", ["git status", "/usr/bin/git log --oneline", "make 'a b'"])
def test_a_plain_command_is_simple(text: str) -> None:
    assert read_line(text).simple


@pytest.mark.parametrize(
    "text", ["a; b", "a && b", "a | b", "a > b", "a $(b)", "a `b`", "a $B", "a *", "a\nb", "a &", "'"]
)
def test_everything_else_is_not(text: str) -> None:
    assert not read_line(text).simple


@pytest.mark.parametrize(
    "text",
    [
        *("rm x", "sudo ls", "python -c 'x'", "python3.12 -c x", "bash -c x", "sh x.sh", "env A=b ls", "timeout 5 ls"),
        *("xargs ls", "find . -exec ls +", "perl -e x", "node --eval x", "nohup ls", "nice ls", "awk x", "python"),
        *("dd if=a of=b", "mkfs.ext4 x", "ls; ls", "ls > x", "eval ls", "/usr/bin/sudo ls", "ssh host ls", "python -"),
    ],
)
def test_ap04_no_lasting_rule_is_offered_for(text: str) -> None:
    assert too_wide(text)


@pytest.mark.parametrize(
    "text", ["git status", "make test", "python build.py", "npm run lint", "cargo build --release"]
)
def test_ap04_one_is_for(text: str) -> None:
    assert too_wide(text) is None


def test_a_line_without_end_is_read_in_time() -> None:
    assert read_line("sudo " * 3000 + "ls").commands
    assert read_line("$(" * 3000).commands
    assert ("rm", "-rf", "/") in read_line("echo x;" * 100_000 + "rm -rf /").commands
