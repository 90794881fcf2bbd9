"""`config.example.toml` documents every key, and is what the schema says."""

import re
from pathlib import Path

from autohands.config import Config
from autohands.config.example import example
from autohands.config.file import parse
from autohands.config.load import compose, scalars
from autohands.config.schema import AgentEntry, PolicyRule, Provider, Schedule

COMMITTED = Path(__file__).parents[2] / "config.example.toml"


def test_the_committed_file_is_current() -> None:
    assert COMMITTED.read_text() == example(), "make it anew: python -m autohands.config.example > config.example.toml"


def test_it_is_valid_as_it_is_and_holds_the_defaults() -> None:
    assert compose(parse(Path("example"), example().encode()), {}).config == Config()


def test_it_is_valid_with_everything_taken_in() -> None:
    everything = re.sub(r"^# (\[|[a-z_]+ = )", r"\1", example(), flags=re.MULTILINE)
    config = compose(parse(Path("example"), everything.encode()), {"ACME_API_KEY": "k"}).config
    assert config.providers["acme"].api_key == "k"
    assert config.agents["reviewer"].max_turns == 20
    assert config.schedules["morning"].timezone == "Europe/Berlin"
    assert config.policy.rule[0].then == "deny"
    assert "provider-openai" in config.extensions


def test_every_key_is_in_it_with_a_description() -> None:
    keys = [path[-1] for path, _ in scalars(Config, ())]
    for kind in (Provider, AgentEntry, Schedule, PolicyRule):
        keys += kind.__struct_fields__
    lines = example().splitlines()
    for key in map(str, keys):
        places = [number for number, line in enumerate(lines) if re.match(rf"(# )?{key} = ", line)]
        assert places, key
        assert all(lines[place - 1].startswith("## ") for place in places), key
