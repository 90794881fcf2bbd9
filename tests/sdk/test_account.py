"""Accounts out of configuration and environment."""

import pytest

from autohands.protocols.errors import ProviderError
from autohands.protocols.provider import ModelInfo
from autohands.sdk.account import Account, check_key, complete, key_name, nearest_model


class Environment:
    def __init__(self, **values: str) -> None:
        self._values = values

    def get(self, name: str) -> str | None:
        return self._values.get(name)


@pytest.mark.parametrize(
    ("provider", "name"), [("openai", "OPENAI_API_KEY"), ("my-proxy", "MY_PROXY_API_KEY"), ("a.b", "A_B_API_KEY")]
)
def test_a_provider_names_its_secret(provider: str, name: str) -> None:
    assert key_name(provider) == name


def test_the_environment_adds_and_the_configuration_wins() -> None:
    secrets = Environment(OPENAI_API_KEY=" sk-1\n", OPENAI_BASE_URL="http://127.0.0.1:1/v1")
    full = complete(Account(), "openai", secrets)
    assert (full.api_key, full.base_url) == ("sk-1", "http://127.0.0.1:1/v1")
    own = complete(Account(api_key="mine", base_url="https://x.test"), "openai", secrets)
    assert (own.api_key, own.base_url) == ("mine", "https://x.test")
    assert complete(Account(api_key=" "), "openai", Environment(OPENAI_API_KEY="")).api_key is None


def test_without_key_and_endpoint_the_remedy_is_named() -> None:
    with pytest.raises(ProviderError, match="no API key") as caught:
        check_key("openai", Account())
    assert caught.value.kind == "auth"
    assert "OPENAI_API_KEY" in (caught.value.hint or "")
    check_key("openai", Account(base_url="http://127.0.0.1:11434"))
    check_key("openai", Account(api_key="sk-1"))


@pytest.mark.parametrize("key", ["sk-\u201cquoted\u201d", "sk-1\nX-Evil: 1", "sk-\x00"])
def test_a_key_that_fits_into_no_header_is_refused_before_it_is_sent(key: str) -> None:
    with pytest.raises(ProviderError, match="characters that no key has"):
        check_key("openai", Account(api_key=key))


def test_the_longest_prefix_describes_a_model_under_its_own_name() -> None:
    table = {name: ModelInfo(name=name, output_tokens=size) for name, size in (("m-", 1), ("m-2", 2), ("m-2-mini", 3))}
    found = nearest_model(table, "m-2-mini-2026")
    assert found == ModelInfo(name="m-2-mini-2026", output_tokens=3)
    assert nearest_model(table, "m-2x") == ModelInfo(name="m-2x", output_tokens=2)
    assert nearest_model(table, "other") is None
