"""The hard floor: what no rule, no consent and no person's yes lifts, in runs and in direct calls."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from autohands.protocols.messages import ToolCall
from autohands.protocols.tool import Effect
from autohands.runtime.guards.commands import program, read_line
from autohands.runtime.guards.rules import Rooted, command_of, paths_named

DISKS = re.compile(
    r"/dev/(?:[shv]d[a-z]|xvd[a-z]|nvme\d|mmcblk\d|dm-\d|mapper/|md\d|md/|sr\d|loop\d|disk/|r?disk\d|"
    r"mem\b|kmem\b|port\b|nbd\d|zd\d|zvol/|bcache\d|pmem\d)"
)
LOOKERS = frozenset({"lsblk", "blkid", "df", "ls", "findmnt", "stat", "file", "udevadm", "echo", "mount", "umount"})
REMOVERS = frozenset({"rm", "rmdir", "shred", "srm", "unlink", "trash"})
REMOVING = re.compile(r"(?:^|_)(?:delete|remove|rm|rmtree|unlink|erase|wipe|purge|trash)(?:_|$)")
ONLY_DEPTH = frozenset({"-delete", "-depth", "-xdev", "-mount", "-P", "-H", "-L"})
RULING = {
    "config": {"set", "unset"},
    "approval": {"allow", "deny"},
    "extension": {"enable", "disable"},
    "task": {"decide"},
    "stop-all": None,
    "restore": None,
}


class Floor:
    """What is denied in any case. `state` is the state directory; `files` are further ones that decide who may what."""

    def __init__(self, state: str, files: Sequence[str] = ()) -> None:
        self._state = os.path.realpath(state)
        self._own = tuple(dict.fromkeys((state, self._state, *files)))

    def __call__(self, call: ToolCall, effect: Effect, workspace: Rooted) -> str | None:
        """Why this call is denied, or None."""
        if effect == "read":
            return None
        command = command_of(call.arguments)
        if command is not None and (reason := self._line(command, _cwd(call.arguments, workspace), workspace.root)):
            return reason
        return next(self._paths(call, workspace), None)

    def _paths(self, call: ToolCall, workspace: Rooted) -> Iterator[str]:
        for path in paths_named(call.arguments):
            place = _place(path, workspace.root)
            if DISKS.match(place):
                yield f"{path} is a disk or the machine's memory"
            if self._is_own(place, workspace.root):
                yield f"{path} belongs to AutoHands' own state or configuration"
            if REMOVING.search(call.name) and _is_root(place, workspace.root):
                yield f"{path} is the workspace itself or lies above it"

    def _line(self, text: str, cwd: str, root: str) -> str | None:
        line = read_line(text)
        for target in line.redirects:
            if DISKS.match(_place(target, cwd)):
                return f"it writes to {target}, a disk or the machine's memory"
            if self._is_own(_place(target, cwd), root):
                return "it writes to AutoHands' own state or configuration"
        if self._names_own(text, root) or any(self._is_own(_place(each, cwd), root) for each in _all(line.commands)):
            return "it names AutoHands' own state or configuration"
        for words in line.commands:
            if reason := _command(words, cwd, root):
                return reason
        return None

    def _names_own(self, text: str, root: str) -> bool:
        plain = text.replace(root, "") if self._is_own(root, "") else text
        return "AUTOHANDS_HOME" in plain or any(own in plain for own in self._own)

    def _is_own(self, place: str, root: str) -> bool:
        if root and (place == root or place.startswith(f"{root}/")) and self._is_own(root, ""):
            return False  # a workspace in the state directory is the owner's choice
        return any(place == own or place.startswith(f"{own}/") for own in self._own)


def _command(words: tuple[str, ...], cwd: str, root: str) -> str | None:
    name, operands = program(words), [word for word in words[1:] if not word.startswith("-")]
    if name in REMOVERS and ("--no-preserve-root" in words or any(_is_whole(word, cwd, root) for word in operands)):
        return "it deletes the workspace itself, what lies above it, or the home directory"
    if name == "find" and "-delete" in words and _finds_all(words, cwd, root):
        return "it deletes the workspace itself, what lies above it, or the home directory"
    if name not in LOOKERS and any(DISKS.search(word) for word in words[1:]):
        return "it names a disk or the machine's memory"
    if name == "autohands" or ("autohands" in words and program(words).startswith("python")):
        return _ruling(words)
    return None


def _ruling(words: tuple[str, ...]) -> str | None:
    """An agent does not decide what it may do."""
    said = words[words.index("autohands") + 1 :] if "autohands" in words else words[1:]
    verb = [word for word in said if not word.startswith("-")][:2]
    if not verb or verb[0] not in RULING:
        return None
    which = RULING[verb[0]]
    return "it decides what AutoHands may do" if which is None or (len(verb) > 1 and verb[1] in which) else None


def _finds_all(words: tuple[str, ...], cwd: str, root: str) -> bool:
    starts = [word for word in words[1:] if not word.startswith("-")] or ["."]
    tests = {word for word in words[1:] if word.startswith("-")} - ONLY_DEPTH
    return not tests and any(_is_whole(word, cwd, root) for word in starts)


def _is_whole(word: str, cwd: str, root: str) -> bool:
    """Whether an operand is the root, the workspace, the home directory, what lies above them, or all that is in
    these."""
    plain = word[:-2] or "/" if word.endswith("/*") else word
    return _is_root(_place(plain, cwd), root) if not (word.endswith("/*") and plain in (".", "./")) else cwd == root


def _is_root(place: str, root: str) -> bool:
    wholes = (root, os.path.realpath(root), str(Path.home()))
    return any(place == each or each.startswith(place.rstrip("/") + "/") for each in wholes)


def _place(path: str, base: str) -> str:
    """An absolute path, by its text alone; `~` and `$HOME` are the home directory."""
    for home in ("~", "$HOME", "${HOME}"):
        if path == home or path.startswith(f"{home}/"):
            path = f"{Path.home()}{path[len(home) :]}"
    plain = os.path.normpath(path if path.startswith("/") else f"{base}/{path}")
    return plain[1:] if plain.startswith("//") else plain


def _cwd(arguments: dict[str, Any], workspace: Rooted) -> str:
    cwd = arguments.get("cwd")
    return _place(cwd, workspace.root) if isinstance(cwd, str) else workspace.root


def _all(commands: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Every word, and what stands behind the `=` of an option."""
    for words in commands:
        for word in words:
            yield word
            if "=" in word:
                yield word.partition("=")[2]
