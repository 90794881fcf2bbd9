"""Gemini's models over HTTP: sends the request, streams the reply."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import cached_property, partial
from typing import Any

from msgspec import structs

from autohands.extensions.provider_gemini.account import find_base_url, model_path
from autohands.extensions.provider_gemini.models import DEFAULT_MODEL, describe, is_known
from autohands.extensions.provider_gemini.session import GoogleSession
from autohands.protocols.extension import HttpFactory
from autohands.protocols.provider import Delta, LoadBlob, ModelInfo, Request
from autohands.sdk.account import Account, check_key, key_name
from autohands.sdk.exchange import Call, exchange
from autohands.sdk.faults import Service
from autohands.sdk.fragments import Writer
from autohands.sdk.http import Endpoint, get_json
from autohands.sdk.reply import ReplyAssembler, tokens

METHOD = "streamGenerateContent"


class GeminiProvider:
    """One account at Google or at a service that speaks like it. Implements `LLMProvider`."""

    def __init__(self, account: Account, http: HttpFactory, load_blob: LoadBlob, *, name: str = "gemini") -> None:
        self.name = name
        self._account = account
        self._base_url = find_base_url(account)
        self._service = Service(name, key_name(name), self._base_url)
        self._http = GoogleSession(http, self._service)
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "text/event-stream",
            **({"x-goog-api-key": account.api_key} if account.api_key else {}),
        }
        self._load_blob = load_blob

    @property
    def available(self) -> bool:
        """Whether a key or an endpoint is configured."""
        return self._account.usable

    @property
    def default_model(self) -> str | None:
        """The configured model; Google's own has a default."""
        return self._account.model or (DEFAULT_MODEL if self.name == "gemini" else None)

    def describe(self, model: str) -> ModelInfo:
        """What is known of a model; conservative limits and no prices for an unknown one."""
        return describe(model)

    async def models(self) -> list[ModelInfo]:
        """The models that the account may use and that answer with text.

        Raises:
            RetryableError, ProviderError: The service cannot be asked.
        """
        check_key(self.name, self._account)
        url = f"{self._base_url}/models?pageSize=1000"
        found = await get_json(self._http, Endpoint(self._service, url, self._headers, self._account.deadlines))
        rows = found.get("models") if isinstance(found, dict) else None
        infos = [_listed(row) for row in rows or () if isinstance(row, dict) and isinstance(row.get("name"), str)]
        return sorted(filter(None, infos), key=lambda info: info.name)

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Answer one request, ending in exactly one `Replied`.

        Raises:
            RetryableError: A passing fault.
            ProviderError: A final one.
        """
        return exchange(self._http, partial(self._call, request))

    async def _call(self, request: Request) -> Call:
        from autohands.extensions.provider_gemini.reading import Reading
        from autohands.extensions.provider_gemini.wire import NAMES

        check_key(self.name, self._account)
        tag = f"{self.name}:{request.model}"
        body = await self._writer.write(request, tag)
        url = f"{self._base_url}/{model_path(request.model)}:{METHOD}?alt=sse"
        endpoint = Endpoint(self._service, url, self._headers, self._account.deadlines)
        reading = Reading(NAMES.back(tool.name for tool in request.tools))
        return Call(endpoint, body, reading.decode, ReplyAssembler(vendor=tag, prompt_bytes=len(body)))

    @cached_property
    def _writer(self) -> Writer:
        from autohands.extensions.provider_gemini.wire import GeminiEncoder

        return Writer(GeminiEncoder(), self._load_blob)


def _listed(row: dict[str, Any]) -> ModelInfo | None:
    """A model of the service's list, its limits as told there if nothing better is known of it."""
    methods = row.get("supportedGenerationMethods")
    if isinstance(methods, list) and not {"generateContent", METHOD} & set(map(str, methods)):
        return None
    info = describe(row["name"].removeprefix("models/"))
    window, output = row.get("inputTokenLimit"), row.get("outputTokenLimit")
    if is_known(info.name) or not (isinstance(window, int) and isinstance(output, int)):
        return info
    return structs.replace(info, context_tokens=tokens(window), output_tokens=tokens(output))
