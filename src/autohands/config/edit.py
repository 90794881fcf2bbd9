"""Changes one key of a configuration file and keeps the rest of it, comments included."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autohands.config.file import parse, read_file
from autohands.config.load import Loaded, compose
from autohands.config.paths import write_private
from autohands.protocols.errors import ConfigError

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


def set_value(path: Path, key: str, value: str, environ: Mapping[str, str]) -> Loaded:
    """Set a dotted `key` in the file at `path`, which is made if it is missing. The whole is checked, then written.

    `value` is TOML (`50`, `true`, `["a", "b"]`); what is no TOML, or does not fit as such, is text.

    Raises:
        ConfigError: The file is damaged, or would not be valid with that value; it stays as it was.
    """
    from tomlkit import dumps
    from tomlkit import parse as parse_document

    if path.exists():
        read_file(path)
    text = path.read_bytes().decode("utf-8-sig") if path.exists() else ""
    refused: ConfigError | None = None
    for candidate in _readings(value):
        document = parse_document(text)
        _put(document, key, candidate)
        data = dumps(document).encode()
        try:
            loaded = compose(parse(path, data), environ)
        except ConfigError as error:
            refused = refused or error
        else:
            write_private(path, data)
            return loaded
    raise refused or ConfigError(f"{path}: {key}: {value!r} is not a value")


def _readings(value: str) -> list[Any]:
    """What a text may mean: the TOML value that it is, then the text itself."""
    try:
        table = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return [value]
    return [table["value"], value] if len(table) == 1 else [value]


def _put(document: TOMLDocument, key: str, value: Any) -> None:
    table: Any = document
    *above, last = key.split(".")
    for part in above:
        if part not in table:
            from tomlkit import table as new_table

            table[part] = new_table()
        table = table[part]
        if not hasattr(table, "keys"):
            raise ConfigError(f"{key}: {part} is not a table")
    table[last] = value
