"""Is a server there, what does it speak, and which models has it?"""

from __future__ import annotations

import time
from typing import Any

from autohands.extensions.provider_local.account import LocalAccount
from autohands.extensions.provider_local.facts import Server, read_models, read_props, read_tags
from autohands.protocols.errors import ProviderError, RetryableError
from autohands.protocols.extension import HttpFactory
from autohands.sdk.account import key_name
from autohands.sdk.faults import Service
from autohands.sdk.http import Endpoint, ask_now, get_json

PROBE_SECONDS = 0.25
PRESENT_SECONDS = 30.0
ABSENT_SECONDS = 3.0
KNOWN_SECONDS = 300.0


class Discovery:
    """Asks one server about itself, and remembers the answer for a while."""

    def __init__(self, account: LocalAccount, http: HttpFactory, name: str) -> None:
        self._root = account.base_url or ""
        self._api = account.api
        self._http = http
        self._service = Service(name, key_name(name), self._root)
        self._headers = authorization(account)
        self._found: Server | None = None
        self._seen: Server | None = None
        self._asked_again = 0.0
        self._probed_again = 0.0

    @property
    def present(self) -> Server | None:
        """The server as it is now, None where none answers. Asked without the loop, briefly, and not every time."""
        if time.monotonic() >= self._probed_again:
            self._note(self._probe())
        return self._seen

    def window(self, model: str) -> int | None:
        """The window of a model, as far as a listing told it. No I/O."""
        return self._found.models.get(model) if self._found is not None else None

    async def server(self) -> Server:
        """What the server is, from memory where it was asked lately. Raises what `look` raises."""
        if self._found is None or time.monotonic() >= self._asked_again:
            return await self.look()
        return self._found

    async def look(self) -> Server:
        """Ask the server.

        Raises:
            RetryableError: It is not there. ProviderError: It is none of those that are known.
        """
        try:
            found = await self._listed()
            if found.speaks == "openai" and not any(found.models.values()):
                found = await self._with_windows(found)
        except RetryableError:
            self._note(None)
            raise
        self._note(found)
        self._found = found
        self._asked_again = time.monotonic() + KNOWN_SECONDS
        return found

    def _note(self, server: Server | None) -> None:
        self._seen = server
        self._probed_again = time.monotonic() + (ABSENT_SECONDS if server is None else PRESENT_SECONDS)

    async def _listed(self) -> Server:
        found = read_tags(await self._get_or_none("/api/tags")) if self._api != "openai" else None
        if found is None and self._api != "ollama":
            found = read_models(await get_json(self._http, self._endpoint("/v1/models")))
        if found is None:
            hint = f"check base_url, now {self._root}, and api, now {self._api}"
            raise ProviderError(f"{self._service.name}: the server lists no models", kind="broken", hint=hint)
        return found

    async def _with_windows(self, found: Server) -> Server:
        """The windows from where llama.cpp and LM Studio tell them."""
        loaded = read_props(await self._get_or_none("/props"))
        if loaded is not None:
            return Server("openai", dict.fromkeys(found.models, loaded))
        told = read_models(await self._get_or_none("/api/v0/models"))
        windows = told.models if told is not None else {}
        return Server("openai", {name: windows.get(name) for name in found.models})

    async def _get_or_none(self, path: str) -> Any:
        try:
            return await get_json(self._http, self._endpoint(path))
        except ProviderError as error:
            if error.kind == "auth":
                raise
            return None

    def _probe(self) -> Server | None:
        found = read_tags(self._ask("/api/tags")) if self._api != "openai" else None
        if found is None and self._api != "ollama":
            found = read_models(self._ask("/v1/models"))
        return found

    def _ask(self, path: str) -> Any:
        return ask_now(f"{self._root}{path}", self._headers, PROBE_SECONDS)

    def _endpoint(self, path: str) -> Endpoint:
        return Endpoint(self._service, f"{self._root}{path}", self._headers)


def authorization(account: LocalAccount) -> dict[str, str]:
    """The header with the key, where the server wants one."""
    return {} if account.api_key is None else {"Authorization": f"Bearer {account.api_key}"}
