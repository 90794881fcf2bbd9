"""Job rows in memory, and what a restarted program finds of them."""

from msgspec import json

from autohands.protocols.process import JobRow


class RowsInMemory:
    """A `JobStore` that keeps what a database would: bytes."""

    def __init__(self) -> None:
        self._rows: dict[str, bytes] = {}

    async def save_job(self, row: JobRow) -> None:
        self._rows[row.id] = json.encode(row)

    async def jobs(self, session: str | None = None) -> list[JobRow]:
        rows = [json.decode(row, type=JobRow) for row in self._rows.values()]
        return sorted((row for row in rows if session in (None, row.session)), key=lambda row: row.started)
