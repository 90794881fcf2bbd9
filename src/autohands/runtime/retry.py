"""A provider that asks another one again after a passing fault, as long as nothing of the answer was passed on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

from msgspec import Struct

from autohands.protocols.errors import RetryableError
from autohands.protocols.provider import Delta, LLMProvider, Request, Retrying, TextPiece, ThinkingPiece
from autohands.sdk.wrapping import Wrapping


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """How often and how long: the n-th wait is drawn from 0 to `first_wait_seconds` × 2ⁿ ("full jitter").

    What the service asks for comes on top, up to `longest_wait_seconds`; all waits of one call together take at most
    `total_wait_seconds`.
    """

    attempts: int = 6
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 60.0
    total_wait_seconds: float = 300.0

    def wait(self, asked: float | None, attempt: int, draw: float) -> float:
        """Seconds to wait after failed attempt `attempt` (from 1); `draw` is a number from 0 to 1."""
        most = min(self.first_wait_seconds * float(2 ** (attempt - 1)), self.longest_wait_seconds)
        return min(asked or 0.0, self.longest_wait_seconds) + draw * most


PATIENT = RetryPolicy()


class Retry(Wrapping):
    """Wraps a provider. Implements `LLMProvider`."""

    def __init__(
        self,
        provider: LLMProvider,
        policy: RetryPolicy = PATIENT,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(provider)
        self._policy = policy
        self._sleep = sleep
        self._draw = draw

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Answer one request, telling of each wait by a `Retrying`.

        Raises:
            RetryableError: The last attempt failed, its answer broke off half told, or waiting on is pointless.
            ProviderError: A final fault; it is never tried again.
        """
        waited = 0.0
        for attempt in range(1, self._policy.attempts + 1):
            told = False
            deltas = self._provider.stream(request)
            try:
                async for delta in deltas:
                    told = told or isinstance(delta, TextPiece | ThinkingPiece)
                    yield delta
                return
            except RetryableError as error:
                wait = self._policy.wait(error.retry_after_seconds, attempt, self._draw())
                if told or attempt == self._policy.attempts or waited + wait > self._policy.total_wait_seconds:
                    raise
                fault = error
            finally:
                if isinstance(deltas, AsyncGenerator):
                    await deltas.aclose()
            waited += wait
            yield Retrying(fault.text, wait, attempt + 1)
            await self._sleep(wait)
