"""Makes `config.example.toml`, which documents every key, from the schema: `python -m autohands.config.example`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from textwrap import wrap
from typing import Annotated, Any, get_args, get_origin

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import FieldInfo

from autohands.config.check import is_struct, struct_in
from autohands.config.schema import Config

_HEAD = """\
# Every key of ~/.autohands/config.toml, with its default. What is commented out with one # has no default: it shows how
# a key is written, or a table that you may add, under a name of your own.
#
# Any value may hold ${NAME} or ${NAME:-default}, an environment variable; $${ is a plain ${.
# A key of a plain table can be set by the environment too: limits.turns by AUTOHANDS_LIMITS_TURNS.
# `autohands config show` prints each value in force with its origin.
"""
_NAMES = {
    "providers": "acme",
    "agents": "reviewer",
    "schedules": "morning",
    "queues": "background",
    "watch": "inbox",
    "subscriptions": "builds",
    "webhooks": "ci",
    "sources": "webhooks",
}
_EXTENSIONS = """\
# The configuration of an extension; `autohands extension info NAME` lists its keys.
# [extensions.provider-openai]
"""


def example() -> str:
    """The text of `config.example.toml`: valid TOML, and valid still when its commented keys are taken in."""
    fields = msgspec.structs.fields(Config)
    plain = [each for each in fields if not is_struct(struct_in(each.type)) and get_origin(each.type) is not dict]
    blocks = [_HEAD, *(_key(field, active=True) for field in plain)]
    for field in fields:
        blocks += _blocks(field)
    return "\n".join([*blocks, _EXTENSIONS])


def _blocks(field: FieldInfo) -> Iterator[str]:
    """The tables that a field of the whole configuration stands for."""
    name, kind = field.encode_name, struct_in(field.type)
    if is_struct(kind):
        yield _table(f"[{name}]", kind, active=True)
        for inner in msgspec.structs.fields(kind):
            if (row := _row(inner.type)) is not None:
                yield _table(f"[[{name}.{inner.encode_name}]]", row, active=False)
    elif name in _NAMES:
        yield _table(f"[{name}.{_NAMES[name]}]", get_args(field.type)[1], active=False)


def _row(kind: Any) -> type[Struct] | None:
    """The struct in a tuple of structs."""
    inner = get_args(kind)[0] if get_origin(kind) is tuple else None
    return inner if is_struct(inner) else None


def _table(header: str, kind: type[Struct], *, active: bool) -> str:
    mark = "" if active else "# "
    keys = [_key(field, active=active) for field in msgspec.structs.fields(kind) if _row(field.type) is None]
    return f"{_comment(kind.__doc__ or '')}{mark}{header}\n{''.join(keys)}"


def _key(field: FieldInfo, *, active: bool) -> str:
    """A key with its description; commented out where there is no default to show, or the whole table is."""
    meta = _meta(field.type)
    value, has_default = field.default, field.default is not None and not field.required
    if meta.examples and not (active and has_default):
        value = meta.examples[0]
    mark = "" if active and has_default else "# "
    return f"{_comment(meta.description or '')}{mark}{field.encode_name} = {_toml(value)}\n"


def _meta(kind: Any) -> Meta:
    metas = get_args(kind)[1:] if get_origin(kind) is Annotated else ()
    return next((meta for meta in metas if isinstance(meta, Meta) and meta.description), Meta())


def _comment(text: str) -> str:
    return "".join(f"## {line}\n" for line in wrap(" ".join(text.split()), 116))


def _toml(value: Any) -> str:
    """A value as TOML; JSON is, for the texts, numbers and lists that occur here."""
    return msgspec.json.encode(value).decode()


if __name__ == "__main__":
    sys.stdout.write(example())
