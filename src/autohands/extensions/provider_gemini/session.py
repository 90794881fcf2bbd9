"""The program's HTTP session as Google's services need it: what they refuse is read in their own words."""

from __future__ import annotations

import asyncio
from typing import Any

from autohands.extensions.provider_gemini.refusals import refuse
from autohands.protocols.extension import HttpFactory
from autohands.sdk.faults import Service
from autohands.sdk.http import ERROR_BYTES, ERROR_SECONDS


class GoogleSession:
    """Asks as the session of `http` does, and raises for every status but 200. Calling it gives it."""

    def __init__(self, http: HttpFactory, service: Service) -> None:
        self._http = http
        self._service = service

    def __call__(self) -> GoogleSession:
        """The session itself: it stands where an `HttpFactory` is asked for."""
        return self

    async def request(self, method: str, url: str, **options: Any) -> Any:
        """As `aiohttp.ClientSession.request`.

        Raises:
            RetryableError, ProviderError: The service refuses.
        """
        response = await self._http().request(method, url, **options)
        if response.status == 200:
            return response
        raise refuse(self._service, response.status, response.headers, await _read(response))

    async def post(self, url: str, **options: Any) -> Any:
        """As `aiohttp.ClientSession.post`. Raises what `request` raises."""
        return await self.request("POST", url, **options)

    async def get(self, url: str, **options: Any) -> Any:
        """As `aiohttp.ClientSession.get`. Raises what `request` raises."""
        return await self.request("GET", url, **options)


async def _read(response: Any) -> bytes:
    """An error's body, as far as it comes."""
    import aiohttp

    body = b""
    try:
        async with asyncio.timeout(ERROR_SECONDS):
            while len(body) < ERROR_BYTES and (chunk := await response.content.readany()):
                body += chunk
    except (aiohttp.ClientError, OSError):
        pass
    finally:
        response.close()
    return body
