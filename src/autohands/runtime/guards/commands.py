"""Command lines, read closely enough to judge them: every command in one, through wrappers, shells and substitutions.

A text is no sandbox: what a script or a variable hides is not seen here. What cannot be read counts as not simple.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import lru_cache
from pathlib import PurePosixPath

from msgspec import Struct

ENDS = frozenset({";", "&", "&&", "|", "||", "|&", "\n", "(", ")", ";;", "{", "}", "!"})
KEYWORDS = frozenset(
    {"if", "then", "else", "elif", "fi", "do", "done", "while", "until", "for", "case", "esac", "time"}
)
SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "fish", "busybox"})
INTERPRETERS = frozenset(
    {"python", "perl", "ruby", "node", "php", "lua", "awk", "gawk", "tclsh", "Rscript", "osascript"}
)
WRAPPERS = frozenset(
    {
        *("sudo", "doas", "su", "env", "timeout", "xargs", "nohup", "nice", "ionice", "stdbuf", "setsid", "time"),
        *("command", "exec", "eval", "builtin", "watch", "parallel", "chroot", "unshare", "nsenter", "strace", "flock"),
        *("find", "fd", "ssh", "docker", "podman", "systemd-run", "script", "source", ".", "trap"),
    }
)
DESTROYERS = frozenset({"rm", "rmdir", "unlink", "shred", "srm", "trash", "dd", "truncate", "mkswap", "wipefs"})
CODE_FLAGS = frozenset({"-c", "-e", "-E", "-p", "-r", "--eval", "--print", "--command"})
_SUBSTITUTED = re.compile(r"\$\(([^()]*)\)|`([^`]*)`|<\(([^()]*)\)")
_EXPANDS = re.compile(r"[$`*?\[\]{}~<>\\]|\$\(")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_VERSION = re.compile(r"[0-9.]+$")
_SEVERAL = re.compile(r"[\s;&|]")
_ENDING = re.compile(r"[;&|()\n]+")
DEPTH = 4
LONGEST = 65_536
MOST_WRAPPED = 64


class Line(Struct, frozen=True):
    """A command line: the words of every command in it, the files it redirects to, and whether it is one command with
    nothing in it that a shell would expand."""

    commands: tuple[tuple[str, ...], ...]
    redirects: tuple[str, ...]
    simple: bool


@lru_cache(maxsize=512)
def read_line(text: str) -> Line:
    """Read a command line."""
    redirects: list[str] = []
    commands = tuple(_commands(text, redirects, DEPTH))
    top = _split(text, [])
    plain = not (redirects or _EXPANDS.search(text) or "\n" in text or text.rstrip().endswith("&"))
    simple = plain and top is not None and len(top) == 1
    return Line(commands, tuple(redirects), simple)


def program(words: tuple[str, ...]) -> str:
    """The name of the program that a command runs, without its directory and version."""
    name = PurePosixPath(words[0]).name if words else ""
    return _VERSION.sub("", name) or name


def too_wide(text: str) -> str | None:
    """Why no lasting rule is offered for a command line, or None."""
    line = read_line(text)
    if not line.simple:
        return "the line holds more than one plain command"
    words = line.commands[0]
    name = program(words)
    if name in DESTROYERS or name.startswith("mkfs"):
        return f"{name} destroys"
    if name in WRAPPERS:
        return f"{name} runs other commands"
    if name in SHELLS or (name in INTERPRETERS and (len(words) == 1 or _has_code(words))):
        return f"{name} runs any code"
    return None


def _has_code(words: tuple[str, ...]) -> bool:
    return any(word in CODE_FLAGS or word == "-" for word in words[1:]) or program(words) in ("awk", "gawk")


def _commands(text: str, redirects: list[str], depth: int) -> Iterator[tuple[str, ...]]:
    found = _split(text, redirects)
    for words in _roughly(text) if found is None else found:
        yield words
        if depth:
            yield from _inside(words, redirects, depth - 1)
    if depth:
        for each in _SUBSTITUTED.finditer(text[:LONGEST]):
            yield from _commands(next(filter(None, each.groups()), ""), redirects, depth - 1)


def _inside(words: tuple[str, ...], redirects: list[str], depth: int) -> Iterator[tuple[str, ...]]:
    """The commands that a command may run: what stands behind a wrapper, and texts that a shell would read."""
    name = program(words)
    if name not in WRAPPERS and name not in SHELLS:
        return
    for start, word in enumerate(words[1:], 1):
        if _SEVERAL.search(word):
            yield from _commands(word, redirects, depth)
        elif start <= MOST_WRAPPED and name in WRAPPERS and not word.startswith("-") and not _ASSIGNMENT.match(word):
            yield words[start:]


def _roughly(text: str) -> list[tuple[str, ...]]:
    """The commands of a line that nobody can read exactly."""
    return [tuple(words) for part in _ENDING.split(text) if (words := part.split())]


def _split(text: str, redirects: list[str]) -> list[tuple[str, ...]] | None:
    """The commands of a line, as words; None where it cannot be read."""
    if len(text) > LONGEST:
        return None
    lexer = shlex.shlex(text.replace("\\\n", ""), posix=True, punctuation_chars=";&|()<>\n")
    lexer.whitespace, lexer.commenters, lexer.whitespace_split = " \t\r", "", True
    try:
        tokens = list(lexer)
    except ValueError:
        return None
    commands: list[list[str]] = [[]]
    after = False
    for token in tokens:
        if after:
            redirects.append(token)
            after = False
        elif token in ENDS or token in KEYWORDS or set(token) <= set(";&|()\n"):
            commands.append([])
        elif set(token) <= set("<>&|"):
            after = True
        elif commands[-1] or not _ASSIGNMENT.match(token):
            commands[-1].append(token)
    return [tuple(words) for words in commands if words]
