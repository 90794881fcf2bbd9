"""Rules of the policy: what one looks at, whether it fits a call, which of several counts."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from autohands.config.schema import PolicyRule
from autohands.protocols.errors import ToolError
from autohands.protocols.messages import ToolCall
from autohands.protocols.tool import Effect
from autohands.runtime.guards.commands import read_line

PATH_ARGUMENTS = frozenset({"path", "paths", "source", "destination", "file", "files", "directory", "target"})
STRICTNESS = ("allow", "ask", "deny")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s'\"`|;&<>()]+", re.IGNORECASE)
_WILD = re.compile(r"[*?]|\[[^]]*\]")


class Rooted(Protocol):
    """What of a workspace rules look at."""

    @property
    def root(self) -> str:
        """The root as people know it."""
        ...

    def relative(self, path: str) -> str:
        """An argument as the path from the root. Raises `ToolError` where it leads out of it."""
        ...


class Call(Struct, frozen=True):
    """What a rule looks at. `named` are paths that the words of a command may name, `hosts` those of its URLs too."""

    tool: str
    effect: str
    source: str
    paths: tuple[str, ...]
    cwd: tuple[str, ...]
    hosts: tuple[str, ...]
    command: str | None = None

    @property
    def commands(self) -> list[str]:
        """The command line, and each command in it."""
        if self.command is None:
            return []
        return [self.command, *(" ".join(words) for words in read_line(self.command).commands)]

    @property
    def words(self) -> list[str]:
        """Every word of the command line."""
        return [] if self.command is None else [word for words in read_line(self.command).commands for word in words]


def seen(call: ToolCall, effect: Effect, place: Rooted, source: str) -> Call:
    """What rules look at in a call."""
    arguments = call.arguments
    paths = tuple(_from_root(path, place) for path in paths_named(arguments))
    cwd = tuple(_from_root(path, place) for path in [arguments.get("cwd")] if isinstance(path, str))
    command = command_of(arguments)
    urls = [*_texts(arguments, ("url", "urls", "uri")), *(_URL.findall(command) if command else ())]
    hosts = tuple(_host(url) for url in urls)
    return Call(call.name, effect, source, paths, cwd, hosts, command)


def fits(rule: PolicyRule, call: Call) -> bool:
    """Whether a rule speaks of a call. One that allows speaks only of what it covers as a whole."""
    return (
        _one(rule.tool, call.tool)
        and _one(rule.effect, call.effect)
        and _one(rule.source, call.source)
        and (_covered(rule, call) if rule.then == "allow" else _touched(rule, call))
        and not expired(rule)
    )


def expired(rule: PolicyRule) -> bool:
    """Whether a rule's time is over; one whose time nobody can read is over too, if it allows."""
    if rule.expires is None:
        return False
    try:
        end = datetime.fromisoformat(rule.expires)
    except ValueError:
        return rule.then == "allow"
    return datetime.now(UTC) >= (end if end.tzinfo else end.replace(tzinfo=UTC))


def _touched(rule: PolicyRule, call: Call) -> bool:
    """Whether any part of a call is what the rule names."""
    named = [*call.paths, *call.cwd, *(_plain(word) for word in call.words)]
    return (
        _any(rule.path, named)
        and _any(rule.command, call.commands)
        and _any(rule.host, call.hosts)
        and (rule.program is None or any(_one(rule.program, resolved(word) or word) for word in call.words))
    )


def _covered(rule: PolicyRule, call: Call) -> bool:
    """Whether the rule names the whole call: each path, each host, the command and nothing beside it."""
    if rule.path is not None and (call.command is not None or not _every(rule.path, call.paths)):
        return False
    if rule.host is not None and not _every(rule.host, call.hosts):
        return False
    if rule.command in (None, "*"):
        return rule.program is None
    if call.command is None or not fnmatchcase(call.command, rule.command or ""):
        return False
    if not read_line(call.command).simple and _WILD.search(rule.command or ""):
        return False  # a `*` must not let a second command in
    return rule.program is None or resolved(call.words[0]) == rule.program


def narrowness(rule: PolicyRule) -> tuple[int, int]:
    """How narrow a rule is: how many things it names, and how many characters of them are fixed."""
    named = [rule.tool, rule.effect, rule.path, rule.command, rule.host, rule.source, rule.program]
    given = [pattern for pattern in named if pattern is not None and pattern != "*"]
    return len(given), sum(len(_WILD.sub("", pattern)) for pattern in given)


def deciding(rules: Sequence[PolicyRule], matching: Sequence[int]) -> int | None:
    """Which of the rules that fit counts: deny over ask over allow, then the narrower, then the later one."""
    order = [(STRICTNESS.index(rules[at].then), narrowness(rules[at]), at) for at in matching]
    return max(order)[-1] if order else None


def label(rule: PolicyRule) -> str:
    """A rule in one line, as TOML has it."""
    given = {key: value for key, value in msgspec.structs.asdict(rule).items() if value is not None}
    return ", ".join(f"{key} = {msgspec.json.encode(value).decode()}" for key, value in given.items())


def command_of(arguments: dict[str, Any]) -> str | None:
    """The command line of a call; words in a list are one too."""
    command = arguments.get("command", arguments.get("argv"))
    if isinstance(command, list) and all(isinstance(word, str) for word in command):
        import shlex

        return shlex.join(command)
    return command if isinstance(command, str) else None


def paths_named(arguments: dict[str, Any]) -> list[str]:
    """The texts that stand under a path's name, however deep."""
    return list(_named(arguments))


def resolved(word: str) -> str | None:
    """The program that a word means."""
    return shutil.which(word)


def _named(value: object, *, is_path: bool = False) -> Iterator[str]:
    if isinstance(value, str) and is_path:
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _named(item, is_path=is_path)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _named(item, is_path=name in PATH_ARGUMENTS)


def _texts(arguments: dict[str, Any], names: Sequence[str]) -> Iterator[str]:
    for name in names:
        value = arguments.get(name)
        yield from [value] if isinstance(value, str) else [each for each in value or () if isinstance(each, str)]


def _from_root(path: str, place: Rooted) -> str:
    try:
        return place.relative(path)
    except ToolError:
        return path


def _plain(word: str) -> str:
    return word.removeprefix("./").rstrip("/")


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _one(pattern: str | None, value: str) -> bool:
    return pattern is None or fnmatchcase(value, pattern)


def _any(pattern: str | None, values: Sequence[str]) -> bool:
    return pattern is None or any(fnmatchcase(value, pattern) for value in values)


def _every(pattern: str, values: Sequence[str]) -> bool:
    return bool(values) and all(fnmatchcase(value, pattern) for value in values)
