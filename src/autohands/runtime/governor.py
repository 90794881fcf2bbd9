"""Money: each model call reserves its worst case before it is made, and is settled after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import msgspec
from msgspec import Struct

from autohands.protocols.changes import Change, Reserve, Settle
from autohands.protocols.errors import AutoHandsError, ProviderError
from autohands.protocols.events import BudgetSettled
from autohands.protocols.messages import Usage
from autohands.protocols.provider import Delta, LLMProvider, ModelInfo, Replied, Request, Retrying
from autohands.protocols.storage import Lease
from autohands.sdk.failpoint import failpoint
from autohands.sdk.wrapping import Wrapping

# An unknown price counts as a dear one, so that a cap still ends a run. Micro-USD per million tokens.
UNKNOWN_INPUT_PRICE = 10_000_000
UNKNOWN_OUTPUT_PRICE = 40_000_000
CHARACTERS_PER_TOKEN = 3
UNSEEN_TOKENS = 64
_ENCODER = msgspec.json.Encoder()


class Caps(Struct, frozen=True):
    """Limits in micro-USD; None is no limit."""

    run: int | None = None
    day: int | None = None
    month: int | None = None


def cost(model: ModelInfo, usage: Usage) -> int:
    """What a call costs, in micro-USD, rounded up."""
    input_price = UNKNOWN_INPUT_PRICE if model.input_price is None else model.input_price
    output_price = UNKNOWN_OUTPUT_PRICE if model.output_price is None else model.output_price
    read_price = input_price if model.cache_read_price is None else model.cache_read_price
    write_price = input_price if model.cache_write_price is None else model.cache_write_price
    plain = max(usage.input - usage.cache_read - usage.cache_write, 0)
    total = (
        plain * input_price
        + usage.cache_read * read_price
        + usage.cache_write * write_price
        + usage.output * output_price
    )
    return -(-total // 1_000_000)


class Purse:
    """What one run may spend. Changes that need no barrier of their own wait in `pending` for the next one."""

    def __init__(self, lease: Lease, caps: Caps, spent: int) -> None:
        self._lease = lease
        self._caps = caps
        self._calls = 0
        self.spent = spent
        self.turn = 0
        self.pending: list[Change] = []

    def take_pending(self) -> list[Change]:
        """The waiting changes, for the commit that comes next."""
        pending, self.pending = self.pending, []
        return pending

    async def reserve(self, model: ModelInfo, request: Request, characters: int) -> str:
        """Put the worst case aside: a barrier, which makes earlier steps durable too. Returns the reservation's key.

        Raises:
            ProviderError: A cap forbids the call (`kind="budget"`).
        """
        tokens, output = characters // CHARACTERS_PER_TOKEN + 1, request.max_output_tokens or model.output_tokens
        plain, cached = Usage(input=tokens, output=output), Usage(input=tokens, output=output, cache_write=tokens)
        amount = max(cost(model, plain), cost(model, cached))
        self._calls += 1
        key = f"{self._lease.record.id}:{self._lease.attempt}:{self.turn}:{self._calls}"
        caps = self._caps
        reserve = Reserve(
            turn=self.turn, key=key, micro_usd=amount, run_cap=caps.run, day_cap=caps.day, month_cap=caps.month
        )
        changes = [*self.take_pending(), reserve]
        failpoint("purse.reserving")
        granted = (await self._lease.commit(*changes))[-1]
        failpoint("purse.reserved")
        if not granted:
            raise ProviderError(
                f"the budget does not allow this call of up to {amount / 1e6:.4f} USD; "
                f"{self.spent / 1e6:.4f} USD are spent",
                kind="budget",
                hint="raise --budget, or [budget] run, day and month",
            )
        return key

    def settle(self, model: ModelInfo, key: str, usage: Usage) -> None:
        """Replace a reservation by the true cost, with the next barrier. Until then the worst case counts."""
        amount = cost(model, usage)
        self.spent += amount
        self.pending.append(Settle(key=key, micro_usd=amount, usage=usage, model=model.name))
        self._lease.emit(BudgetSettled(turn=self.turn, micro_usd=amount, run_micro_usd=self.spent))


def cut_off(request: Request, said: int) -> Usage:
    """What an answer of which `said` characters came may have used: estimated, and rather too much than too little."""
    asked = len(_ENCODER.encode(request)) // CHARACTERS_PER_TOKEN + 1
    return Usage(input=asked, output=said + UNSEEN_TOKENS, estimated=True)


class Metered(Wrapping):
    """A provider whose every attempt is reserved and settled."""

    def __init__(self, provider: LLMProvider, purse: Purse) -> None:
        super().__init__(provider)
        self._purse = purse
        self.characters = 0

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Reserve, ask, settle. An attempt that fails costs nothing; one that is cut off what it came to, estimated."""
        model = self._provider.describe(request.model)
        key = await self._purse.reserve(model, request, self.characters or len(_ENCODER.encode(request)))
        deltas, said = self._provider.stream(request), 0
        try:
            async for delta in deltas:
                if isinstance(delta, Replied):
                    self._purse.settle(model, key, delta.reply.usage)
                elif not isinstance(delta, Retrying):
                    said += len(delta.text)
                yield delta
        except (AutoHandsError, asyncio.CancelledError) as error:
            silent = not said and isinstance(error, AutoHandsError)
            self._purse.settle(model, key, Usage() if silent else cut_off(request, said))
            raise
        finally:
            if isinstance(deltas, AsyncGenerator):
                await deltas.aclose()  # who stops half way gives the connection back now, not when this is collected
