"""Money: each model call, of whatever kind, reserves its worst case before it is made, and is settled after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Protocol

import msgspec
from msgspec import Struct

from autohands.protocols.changes import Change, Reserve, Settle
from autohands.protocols.costs import Used
from autohands.protocols.errors import AutoHandsError, ProviderError
from autohands.protocols.events import BudgetSettled
from autohands.protocols.messages import Usage
from autohands.protocols.provider import Delta, LLMProvider, ModelInfo, Replied, Request, Retrying
from autohands.protocols.storage import Lease, Storage
from autohands.runtime.prices import UNKNOWN_PRICE, believed, cost, cut_off, priced, worst_case
from autohands.sdk.failpoint import failpoint
from autohands.sdk.identity import new_id
from autohands.sdk.wrapping import Wrapping

_ENCODER = msgspec.json.Encoder()


class Caps(Struct, frozen=True, kw_only=True):
    """Limits in micro-USD; None is no limit. `unknown_price` is for a million tokens; None refuses such a model."""

    run: int | None = None
    day: int | None = None
    month: int | None = None
    session: int | None = None
    agent: int | None = None
    schedule: int | None = None
    unknown_price: int | None = UNKNOWN_PRICE

    def reserve(self, key: str, amount: int, worst: Usage, sent: int, turn: int = 0) -> Reserve:
        """The change that puts a call's worst case aside."""
        return Reserve(
            turn=turn,
            key=key,
            micro_usd=amount,
            run_cap=self.run,
            day_cap=self.day,
            month_cap=self.month,
            session_cap=self.session,
            agent_cap=self.agent,
            schedule_cap=self.schedule,
            tokens=worst.input + worst.output,
            sent=sent,
        )


class Quotas(Struct, frozen=True, kw_only=True):
    """Other limits of a run's model calls; None is no limit."""

    model_calls: int | None = None
    tokens: int | None = None
    sent_bytes: int | None = None


class Payer(Protocol):
    """Who pays for model calls."""

    @property
    def unknown_price(self) -> int | None:
        """What a million tokens count as of a model whose price is not known, in micro-USD; None: it is refused."""
        ...

    async def reserve(self, amount: int, worst: Usage, sent: int) -> str:
        """Put the worst case aside, durably. Returns the reservation's key. Raises `ProviderError`."""
        ...

    async def settle(self, model: ModelInfo, key: str, usage: Usage) -> None:
        """Replace a reservation by the true cost."""
        ...


class Purse:
    """What one run may spend. Changes that need no barrier of their own wait in `pending` for the next one."""

    def __init__(self, lease: Lease, caps: Caps, spent: int, used: Used, quotas: Quotas) -> None:
        self._lease = lease
        self._caps = caps
        self._quotas = quotas
        self._calls = 0
        self._model_calls = used.model_calls
        self._tokens = used.tokens
        self._sent = used.sent_bytes
        self._open: dict[str, int] = {}
        self.unknown_price = caps.unknown_price
        self.spent = spent
        self.turn = 0
        self.pending: list[Change] = []

    def take_pending(self) -> list[Change]:
        """The waiting changes, for the commit that comes next."""
        pending, self.pending = self.pending, []
        return pending

    async def reserve(self, amount: int, worst: Usage, sent: int) -> str:
        """Put the worst case aside: a barrier, which makes earlier steps durable too. Returns the reservation's key.

        Raises:
            ProviderError: A cap or another limit forbids the call; its `kind` says which.
        """
        tokens = worst.input + worst.output
        self._check(tokens, sent)
        self._calls += 1
        key = f"{self._lease.record.id}:{self._lease.attempt}:{self.turn}:{self._calls}"
        self._model_calls, self._sent, self._open[key] = self._model_calls + 1, self._sent + sent, tokens
        changes = [*self.take_pending(), self._caps.reserve(key, amount, worst, sent, self.turn)]
        failpoint("purse.reserving")
        granted = (await self._lease.commit(*changes))[-1]
        failpoint("purse.reserved")
        if not granted:
            self._open.pop(key)
            raise refused(amount, f"; {self.spent / 1e6:.4f} USD are spent")
        return key

    def _check(self, tokens: int, sent: int) -> None:
        """Raise where the call could exceed a limit. Calls side by side count with their worst case."""
        quotas = self._quotas
        if quotas.model_calls is not None and self._model_calls >= quotas.model_calls:
            raise ProviderError(
                f"the limit of {quotas.model_calls:,} model calls is reached",
                kind="calls",
                hint="raise [limits] model_calls",
            )
        if quotas.tokens is not None and self._tokens + sum(self._open.values()) + tokens > quotas.tokens:
            raise ProviderError(
                f"this call of up to {tokens:,} tokens could exceed the limit of {quotas.tokens:,}; "
                f"{self._tokens:,} are used",
                kind="tokens",
                hint="raise [limits] tokens",
            )
        if quotas.sent_bytes is not None and self._sent + sent > quotas.sent_bytes:
            raise ProviderError(
                f"this call of {sent:,} bytes would exceed the limit of {quotas.sent_bytes:,} sent to models",
                kind="bytes",
                hint="raise [limits] sent_bytes",
            )

    async def settle(self, model: ModelInfo, key: str, usage: Usage) -> None:
        """Replace a reservation by the true cost, with the next barrier. Until then the worst case counts."""
        amount = cost(model, usage)
        self.spent += amount
        self._tokens += usage.input + usage.output
        self._open.pop(key, None)
        self.pending.append(Settle(key=key, micro_usd=amount, usage=usage, model=model.name))
        self._lease.emit(BudgetSettled(turn=self.turn, micro_usd=amount, run_micro_usd=self.spent))


class Till:
    """Pays for model calls that belong to no run: those of extensions, and of tools that are called directly."""

    def __init__(self, storage: Storage, caps: Callable[[], Caps]) -> None:
        self._storage = storage
        self._caps = caps

    @property
    def unknown_price(self) -> int | None:
        """What a million tokens count as of a model whose price is not known."""
        return self._caps().unknown_price

    async def reserve(self, amount: int, worst: Usage, sent: int) -> str:
        """Put the worst case aside. Raises `ProviderError` where the day's or the month's cap forbids it."""
        key = new_id("call")
        (granted,) = await self._storage.commit(self._caps().reserve(key, amount, worst, sent))
        if not granted:
            raise refused(amount)
        return key

    async def settle(self, model: ModelInfo, key: str, usage: Usage) -> None:
        """Replace a reservation by the true cost."""
        await self._storage.commit(Settle(key=key, micro_usd=cost(model, usage), usage=usage, model=model.name))


def refused(amount: int, known: str = "") -> ProviderError:
    """What is said of a call that a cap forbids."""
    return ProviderError(
        f"the budget does not allow this call of up to {amount / 1e6:.4f} USD{known}",
        kind="budget",
        hint="`autohands cost` shows what was spent; raise --budget, or what [budget] says",
    )


class Metered(Wrapping):
    """A provider whose every attempt is reserved and settled."""

    def __init__(self, provider: LLMProvider, payer: Payer) -> None:
        super().__init__(provider)
        self._payer = payer
        self.characters = 0

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Reserve, ask, settle. An attempt that fails costs nothing; one that is cut off what it came to, estimated."""
        model = priced(self._provider.describe(request.model), self._payer.unknown_price)
        characters = self.characters or len(_ENCODER.encode(request))
        worst = worst_case(model, request, characters)
        key = await self._payer.reserve(cost(model, worst), worst, characters)
        deltas, said, settled = self._provider.stream(request), 0, False
        try:
            async for delta in deltas:
                if isinstance(delta, Replied):
                    usage = believed(delta.reply, model, worst)
                    await self._payer.settle(model, key, usage)
                    settled = True
                    yield _with_usage(delta, usage)
                    continue
                if not isinstance(delta, Retrying):
                    said += len(delta.text)
                yield delta
        except (AutoHandsError, asyncio.CancelledError) as error:
            silent = not said and isinstance(error, AutoHandsError)
            if not settled:
                await self._payer.settle(model, key, Usage() if silent else cut_off(characters, said))
            raise
        finally:
            if isinstance(deltas, AsyncGenerator):
                await deltas.aclose()  # who stops half way gives the connection back now, not when this is collected


def _with_usage(delta: Replied, usage: Usage) -> Replied:
    if usage is delta.reply.usage:
        return delta
    return Replied(msgspec.structs.replace(delta.reply, usage=usage))
