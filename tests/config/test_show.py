"""SE04: what is shown of the configuration holds no secret."""

import json
from pathlib import Path

import msgspec
import pytest

from autohands.config import Secrets, load
from autohands.config.secrets import fingerprint, is_secret, without_user
from autohands.config.show import show

CANARY = "sk-canary-0123456789abcdefghij"


def test_se04_every_key_is_shown_with_its_origin_and_no_secret(home: Path) -> None:
    path = home / "config.toml"
    path.write_text(f"""\
model = "a/b"
[providers.acme]
api_key = "{CANARY}"
base_url = "https://user:{CANARY}@host/v1"
model = "${{MODEL_TOKEN}}"
[[policy.rule]]
tool = "exec"
then = "ask"
[extensions.some]
token = "{CANARY}"
names = ["x", "https://{CANARY}@host"]
retries = 3
[extensions.some.headers]
Authorization = "{CANARY}"
""")
    path.chmod(0o600)
    shown = show(load(home, {"MODEL_TOKEN": CANARY}, options={"limits.turns": 5}))
    text = json.dumps(msgspec.to_builtins(shown))
    assert CANARY not in text
    assert CANARY[10:] not in text
    found = {each.key: (each.value, each.origin.replace(str(path), "config.toml")) for each in shown}
    mark = fingerprint(CANARY)
    assert found["model"] == ("a/b", "config.toml:1")
    assert found["limits.turns"] == (5, "option")
    assert found["limits.parallel"] == (8, "default")
    assert found["providers.acme.api_key"] == (mark, "config.toml:3")
    assert found["providers.acme.base_url"][0].endswith("@host/v1")
    assert found["providers.acme.model"] == (mark, "config.toml:5")
    assert found["policy.rule[0].then"] == ("ask", "config.toml:8")
    assert found["extensions.some.token"] == (mark, "config.toml:10")
    assert found["extensions.some.retries"] == (3, "config.toml:12")
    assert found["extensions.some.headers.Authorization"] == (mark, "config.toml:14")


def test_a_fingerprint_tells_secrets_apart_and_gives_none_away() -> None:
    assert fingerprint(CANARY) == "sk-…ghij (sha256:d5cd7c54)"
    assert fingerprint("short") == "… (sha256:f9b0078b)"
    assert fingerprint("") == "(empty)"
    assert "pass" not in without_user("https://me:pass@host/x")
    assert without_user("https://host/me@home") == "https://host/me@home"


@pytest.mark.parametrize(
    "name", ["api_key", "OPENAI_API_KEY", "apikey", "token", "bot-token", "Authorization", "password"]
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", ["model", "monkey", "tokens", "output_tokens", "keyboard", "base_url", "max_turns"])
def test_other_names(name: str) -> None:
    assert not is_secret(name)


def test_secrets_come_from_the_environment() -> None:
    secrets = Secrets({"OPENAI_API_KEY": "k", "EMPTY": ""})
    assert (secrets.get("OPENAI_API_KEY"), secrets.get("EMPTY"), secrets.get("ABSENT")) == ("k", None, None)
