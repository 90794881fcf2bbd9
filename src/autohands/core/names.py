"""Paths as text: where they lie beneath a root, and how a name is shown that cannot be shown as it is."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata

from autohands.protocols.errors import ToolError

ESCAPE = re.compile(r"\\(?:\\|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")


def beneath(path: str, roots: tuple[str, ...]) -> str:
    """The path from the root, `.` for the root itself; `roots` are the names under which the root is known.

    Compared part by part, never by prefix: /w/app-secrets is not beneath /w/app.

    Raises:
        ToolError: It holds a NUL, or may lead outside: `..`, `~`, an absolute path that is not beneath a root.
    """
    if "\0" in path:
        raise ToolError("invalid_path: a path cannot hold a NUL character")
    parts = split(path)
    if ".." in parts:
        raise outside(path, "paths with `..` are refused, name the file from the workspace's root")
    if path == "~" or path.startswith("~/"):
        raise outside(path, "`~` is not expanded, name the file from the workspace's root")
    if path.startswith("/"):
        for root in map(split, roots):
            if parts[: len(root)] == root:
                return "/".join(parts[len(root) :]) or "."
        raise outside(path, f"the workspace is {show(roots[0])}")
    return "/".join(parts) or "."


def outside(path: str, why: str) -> ToolError:
    """The refusal of a path that leads out of the workspace."""
    return ToolError(f"path_outside_workspace: {show(path)}: {why}")


def split(path: str) -> list[str]:
    """The parts of a path that lead anywhere; `..` is among them."""
    return [part for part in path.split("/") if part not in ("", ".")]


def show(path: str) -> str:
    r"""A path that a terminal, a model and JSON can carry: plain names as they are, the rest escaped.

    `\\` is a backslash, `\xNN` a control character or, from 80 on, a byte that is not UTF-8, `\uNNNN` and `\UNNNNNNNN`
    other characters nobody sees: invisible and right-to-left marks, spaces that are no space or stand at an end of a
    name, and combining marks of a name that is not in normal form C and would look like its twin.
    """
    return "/".join(map(_show_part, path.split("/")))


def _show_part(part: str) -> str:
    normal = unicodedata.is_normalized("NFC", part)
    if normal and part.isprintable() and "\\" not in part and part.strip(" ") == part:
        return part
    last = len(part) - 1
    return "".join(
        _escape(character)
        if not character.isprintable()
        or character == "\\"
        or (character == " " and at in (0, last))
        or (not normal and _composes(character))
        else character
        for at, character in enumerate(part)
    )


def _composes(character: str) -> bool:
    """Whether normal form C may write this character, or it and the one before, in another way."""
    normal = unicodedata.is_normalized("NFC", character)
    return not normal or unicodedata.category(character)[0] == "M" or "\u1160" <= character <= "\u11ff"


def _escape(character: str) -> str:
    code = ord(character)
    if character == "\\":
        return "\\\\"
    if code < 0x80 or 0xDC80 <= code <= 0xDCFF:  # the second: a byte, as os.fsdecode smuggles it
        return f"\\x{code & 0xFF:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def read_shown(part: str) -> str | None:
    """The name that `show` shows as `part`; None if it shows none so (`\\x41` is no way to write A)."""
    if "\\" not in part:
        return None
    name = ESCAPE.sub(lambda found: _unescape(found[0]), part)
    try:
        name = os.fsdecode(os.fsencode(name))
    except UnicodeEncodeError:
        return None
    return name if show(name) == part and "\0" not in name and "/" not in name else None


def _unescape(escape: str) -> str:
    if escape == "\\\\":
        return "\\"
    code = int(escape[2:], 16)
    if escape[1] == "x" and code >= 0x80:
        code += 0xDC00
    return chr(code) if code <= 0x10FFFF else escape


def show_argument(path: str) -> str:
    """An argument in shown form: its parts that are so already stay as they are."""
    return "/".join(part if read_shown(part) else _show_part(part) for part in path.split("/"))


def nearest(name: str, names: list[str]) -> list[str]:
    """At most three of `names` that may be meant by `name`: first twins in case or Unicode form, then similar ones."""
    keys = {_key(found): found for found in names}
    if twin := keys.get(_key(name)):
        return [twin]
    return [keys[key] for key in difflib.get_close_matches(_key(name), keys, 3)]


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
