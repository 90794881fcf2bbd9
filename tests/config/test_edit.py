"""Setting one key leaves the rest of the file as it was."""

from pathlib import Path

import pytest

from autohands.config import load
from autohands.config.edit import set_value, unset_value
from autohands.protocols.errors import ConfigError

BEFORE = """\
# mine
model = "a/b"   # the good one

[limits]
turns = 3
"""


@pytest.fixture
def path(home: Path) -> Path:
    path = home / "config.toml"
    path.write_text(BEFORE)
    path.chmod(0o600)
    return path


def test_a_value_is_changed_and_comments_stay(path: Path) -> None:
    loaded = set_value(path, "limits.turns", "50", {})
    assert loaded.config.limits.turns == 50
    assert path.read_text() == BEFORE.replace("turns = 3", "turns = 50")
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("model", "openai/gpt-5", 'model = "openai/gpt-5"   # the good one'),
        ("agent", "5", 'agent = "5"'),
        ("skills.paths", '["a", "b"]', 'paths = ["a", "b"]'),
        ("budget.run", "none", 'run = "none"'),
        ("budget.day", "2.5", "day = 2.5"),
        ("providers.acme.base_url", "http://127.0.0.1:1", 'base_url = "http://127.0.0.1:1"'),
        ("extensions.tools-x.headless", "true", "headless = true"),
        ("agent", "a\n[server]\nport = 1", 'agent = "a\\n[server]\\nport = 1"'),
        ("agent", "1\nmodel = 'x'", "agent = \"1\\nmodel = 'x'\""),
    ],
)
def test_a_value_is_toml_or_text_as_the_key_wants(path: Path, key: str, value: str, line: str) -> None:
    set_value(path, key, value, {})
    assert line in path.read_text().splitlines()


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("limits.turns", "many", "limits.turns: expected an integer, got text"),
        ("limits.trns", "3", "limits.trns: unknown key; did you mean turns?"),
        ("model.x", "3", "model.x: model is not a table"),
    ],
)
def test_what_would_not_be_valid_is_refused_and_the_file_stays(path: Path, key: str, value: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        set_value(path, key, value, {})
    assert caught.value.text.endswith(text)
    assert path.read_text() == BEFORE


def test_a_damaged_file_stays_as_it_is(path: Path) -> None:
    path.write_text("a = \n")
    with pytest.raises(ConfigError, match=":1: Invalid value"):
        set_value(path, "model", "x", {})
    assert path.read_text() == "a = \n"


def test_a_missing_file_is_made_private(home: Path) -> None:
    set_value(home / "config.toml", "limits.turns", "9", {})
    assert (home / "config.toml").read_text() == "[limits]\nturns = 9\n"
    assert (home / "config.toml").stat().st_mode & 0o777 == 0o600


KINDS = {"some": None, "other": dict}


def test_the_tables_of_extensions_are_judged_as_when_it_starts(path: Path) -> None:
    for key in ("extensions.some.foo", "extensions.som.foo"):
        with pytest.raises(ConfigError, match=r"nothing can be set here|did you mean some"):
            set_value(path, key, "1", {}, KINDS)
    set_value(path, "extensions.other.foo", "1", {}, KINDS)
    assert path.read_text() == BEFORE + "\n[extensions.other]\nfoo = 1\n"


def test_a_wrong_file_is_mended_key_by_key(path: Path) -> None:
    path.write_text(BEFORE + "trns = 4\n[extensions.some]\nfoo = 1\n")
    assert set_value(path, "limits.runs", "7", {}, KINDS).config.limits.runs == 7
    with pytest.raises(ConfigError, match=r"limits\.trns: unknown key"):
        set_value(path, "limits.trns", "5", {}, KINDS)
    with pytest.raises(ConfigError, match=r"limits\.parallel"):
        set_value(path, "limits.parallel", "0", {}, KINDS)
    unset_value(path, "limits.trns", {}, KINDS)
    unset_value(path, "extensions.some.foo", {}, KINDS)
    assert path.read_text() == BEFORE + "runs = 7\n[extensions.some]\n"
    assert load(path.parent, {}, extensions=KINDS).config.limits.turns == 3


def test_what_is_needed_or_not_there_cannot_be_unset(path: Path) -> None:
    path.write_text(BEFORE + '[agents.x]\nprompt = "p"\n')
    for key, text in (("agents.x.prompt", "missing"), ("limits.runs", "not set there"), ("model.x", "not set there")):
        with pytest.raises(ConfigError, match=text):
            unset_value(path, key, {})
    unset_value(path, "agents.x", {})
    assert "agents" not in path.read_text()
