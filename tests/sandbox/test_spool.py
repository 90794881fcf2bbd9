"""Output in constant memory: both ends, the whole up to a limit, and honest gaps."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohands.sandbox.spool import HEAD, NEAR, RING, SpoolReader, SpoolWriter, nameless_file


class Pair:
    """A writer and a reader over the same near file, as a supervisor and a program have them."""

    def __init__(self, directory: str, most_bytes: int) -> None:
        near = nameless_file()
        self.writer = SpoolWriter(near, directory, most_bytes)
        self.reader = SpoolReader(near)

    def write(self, data: bytes) -> None:
        self.writer.write(data)
        if self.reader.far is None and self.writer.far is not None:
            self.reader.far = os.dup(self.writer.far)

    def read(self, cursor: int, most_bytes: int = 1 << 30) -> tuple[bytes, int]:
        return self.reader.read(cursor, most_bytes, self.writer.total)

    def all_from(self, cursor: int) -> tuple[bytes, int]:
        parts, gaps = [], 0
        while cursor < self.writer.total:
            data, skipped = self.read(cursor)
            parts.append(data)
            gaps += skipped
            cursor += skipped + len(data)
        return b"".join(parts), gaps

    def close(self) -> None:
        self.writer.close()
        self.reader.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(str(tmp_path), 1 << 20)
    yield made
    made.close()


def pattern(start: int, length: int) -> bytes:
    """Bytes that tell their own position."""
    return b"".join(position.to_bytes(4, "big") for position in range(start // 4, (start + length) // 4))


def fill(pair: Pair, total: int, step: int = 65_536) -> None:
    for start in range(0, total, step):
        pair.write(pattern(start, min(step, total - start)))


@pytest.mark.parametrize("total", [4, HEAD, HEAD + 4, NEAR, NEAR + 4, 1 << 19, 1 << 20])
def test_everything_up_to_the_limit_can_be_read(pair: Pair, total: int) -> None:
    fill(pair, total)
    assert pair.all_from(0) == (pattern(0, total), 0)
    assert pair.all_from(total - 4) == (pattern(total - 4, 4), 0)


def test_no_file_is_made_for_little_output(pair: Pair) -> None:
    fill(pair, NEAR)
    assert pair.writer.far is None
    pair.write(b"more")
    assert pair.writer.far is not None


def test_no_name_is_left_in_the_directory(pair: Pair, tmp_path: Path) -> None:
    fill(pair, 1 << 19)
    assert list(tmp_path.iterdir()) == []


def test_beyond_the_limit_both_ends_stay(pair: Pair) -> None:
    total = 3 << 20
    fill(pair, total)
    text, gaps = pair.all_from(0)
    assert text == pattern(0, 1 << 20) + pattern(total - RING, RING)
    assert gaps == total - (1 << 20) - RING


def test_without_a_disk_both_ends_stay(tmp_path: Path) -> None:
    pair = Pair(str(tmp_path / "missing"), 1 << 20)
    fill(pair, 1 << 20)
    text, gaps = pair.all_from(0)
    assert text == pattern(0, HEAD) + pattern((1 << 20) - RING, RING)
    assert gaps == (1 << 20) - NEAR
    pair.close()


def test_a_reader_that_is_overtaken_skips_what_was_overwritten(tmp_path: Path) -> None:
    pair = Pair(str(tmp_path), 0)
    fill(pair, NEAR)
    known = pair.writer.total
    pair.write(pattern(known, 4096))
    data, skipped = pair.reader.read(HEAD, 1 << 30, known)
    assert (skipped, data[:4]) == (4096, pattern(HEAD + 4096, 4))
    pair.close()


@given(st.lists(st.binary(min_size=1, max_size=65_536), max_size=12), st.integers(0, 1 << 19))
def test_what_is_read_is_what_was_written(pieces: list[bytes], most_bytes: int) -> None:
    pair = Pair("/tmp", most_bytes)
    for piece in pieces:
        pair.write(piece)
    whole = b"".join(pieces)
    cursor = 0
    while cursor < len(whole):
        data, skipped = pair.read(cursor, 10_000)
        assert data == whole[cursor + skipped : cursor + skipped + len(data)]
        cursor += skipped + len(data)
    assert cursor == len(whole)
    pair.close()


def test_reading_at_the_end_gives_nothing(pair: Pair) -> None:
    pair.write(b"abc")
    assert pair.read(3) == (b"", 0)
    assert pair.read(9) == (b"", 0)


def test_a_file_in_memory_and_one_on_disk(tmp_path: Path) -> None:
    for descriptor in (nameless_file(), nameless_file(str(tmp_path))):
        os.write(descriptor, b"x")
        assert os.fstat(descriptor).st_nlink == 0
        os.close(descriptor)
