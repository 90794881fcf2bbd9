"""Lines of standard input, whatever it is, without blocking the loop."""

import asyncio
import io
import os
import sys
from pathlib import Path

import pytest

from autohands.cli.lines import Lines, decoded, read_all
from autohands.protocols.errors import BadRequest


async def test_lines_of_a_pipe_come_as_they_are_written() -> None:
    reader, writer = os.pipe()
    lines = Lines(reader)
    try:
        async with asyncio.timeout(10):
            waiting = asyncio.ensure_future(lines.read())
            await asyncio.sleep(0)
            assert not waiting.done()
            os.write(writer, "ein\nzwei Z\xfcge\ndr".encode())
            assert await waiting == "ein"
            assert await lines.read() == "zwei Züge"
            os.write(writer, b"ei")
            os.close(writer)
            assert (await lines.read(), await lines.read()) == ("drei", None)
    finally:
        os.close(reader)


async def test_lines_of_a_regular_file(tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("a\n\nb")
    with (tmp_path / "lines").open("rb") as file:
        lines = Lines(file.fileno())
        assert [await lines.read() for _ in range(4)] == ["a", "", "b", None]


async def test_what_was_read_ahead_is_forgotten() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"first\ny\n")
    os.close(writer)
    lines = Lines(reader)
    assert await lines.read() == "first"
    lines.forget()
    assert await lines.read() is None
    os.close(reader)


async def test_a_line_without_an_end_is_refused() -> None:
    with Path("/dev/zero").open("rb") as endless:
        with pytest.raises(BadRequest, match="longer than"):
            await Lines(endless.fileno()).read()


def test_bytes_that_are_no_utf8_are_named() -> None:
    with pytest.raises(BadRequest, match="byte 0xe9 at offset 3") as caught:
        decoded(b"caf\xe9")
    assert "iconv" in str(caught.value.hint)


def test_all_of_standard_input_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"12345")))
    assert read_all(5) == "12345"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"123456")))
    with pytest.raises(BadRequest, match="longer than 5 bytes"):
        read_all(5)
