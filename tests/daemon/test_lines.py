"""Lines on a descriptor: in order, without waiting, whoever reads or does not."""

from __future__ import annotations

import os
import time

from autohands.daemon.lines import Lines


def dropped(count: int) -> str:
    return f"({count} dropped)"


def test_lines_come_in_order_and_all_of_them_before_the_end() -> None:
    reading, writing = os.pipe()
    lines = Lines(writing, dropped)
    with lines.written():
        for number in range(1000):
            lines.put(f"{number} ✓ \udc80")
    os.close(writing)
    with os.fdopen(reading) as file:
        assert file.read().splitlines() == [f"{number} ✓ \\udc80" for number in range(1000)]


def test_cr05_where_nobody_reads_nobody_waits_and_what_was_dropped_is_counted() -> None:
    reading, writing = os.pipe()
    lines = Lines(writing, dropped, most=100)
    long = "x" * 10_000  # a pipe takes seven
    began = time.monotonic()
    with lines.written(last_seconds=0.1):
        for _ in range(1000):
            lines.put(long)
    assert time.monotonic() - began < 20
    got = b""
    while b"dropped" not in got:
        chunk = os.read(reading, 1 << 16)  # now somebody does
        assert chunk
        got += chunk
    told = got.split(b"\n")
    count = next(int(each[1:].split()[0]) for each in told if each.startswith(b"("))
    assert count + told.count(long.encode()) == 1000
    os.close(reading)


def test_cr05_where_nobody_can_read_any_more_nothing_is_raised() -> None:
    reading, writing = os.pipe()
    lines = Lines(writing, dropped, most=10)
    os.close(reading)
    with lines.written():
        for number in range(1000):
            lines.put(str(number))
    os.close(writing)


def test_a_descriptor_that_does_not_wait_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    lines = Lines(writing, dropped)
    with lines.written(last_seconds=20):
        lines.put("y" * 200_000)
        lines.put("end")
        got = b""
        while not got.endswith(b"end\n"):
            got += os.read(reading, 1 << 16)
    assert got == b"y" * 200_000 + b"\nend\n"
    os.close(reading)
    os.close(writing)
