"""The ledger: what a cap forbids leaves no trace in the purses."""

from typing import Any

import pytest

from autohands.protocols.changes import Reserve
from autohands.storage import Store
from storage.stores import leased, submit

CAPS: dict[str, int | None] = {"run_cap": None, "day_cap": None, "month_cap": None}


@pytest.mark.parametrize("cap", list(CAPS))
async def test_bu01_a_refused_reservation_leaves_room_for_a_smaller_one(store: Store, cap: str) -> None:
    def reserve(key: str, micro_usd: int) -> Reserve:
        caps: dict[str, Any] = CAPS | {cap: 100}
        return Reserve(key=key, micro_usd=micro_usd, **caps)

    record = await submit(store)
    async with leased(store, record.id) as lease:
        assert await lease.commit(reserve("a", 60), reserve("b", 41), reserve("c", 40), reserve("d", 1)) == [
            *(True, False, True, False)
        ]
    assert await store.spent(record.id) == await store.spent() == 100
