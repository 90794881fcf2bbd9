"""`read_file`: lines, windows, encodings, images, everything else."""

import json
from pathlib import Path

import pytest

from autohands.extensions.tools_filesystem.read_file import read_file
from autohands.sdk import ToolContext, ToolError, ToolResult
from core.disk import PEAK_MIB, run_script

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 50


async def read(ctx: ToolContext, path: str, **arguments: object) -> ToolResult:
    result = await read_file.run(ctx, read_file.validate({"path": path, **arguments}))
    assert "\0" not in json.dumps([result.text, result.data], ensure_ascii=False)
    json.dumps([result.text, result.data], ensure_ascii=False).encode()
    return result


async def data_of(ctx: ToolContext, path: str, **arguments: object) -> dict[str, object]:
    data = (await read(ctx, path, **arguments)).data
    assert data is not None
    return data


async def test_a_whole_file_comes_without_a_note(ctx: ToolContext, workspace: Path) -> None:
    (workspace / "a.txt").write_bytes("eins\nzwei ü\n".encode())
    result = await read(ctx, "./a.txt")
    assert result.text == "eins\nzwei ü"
    assert result.data is not None
    sha256 = result.data.pop("sha256")
    assert len(str(sha256)) == 64
    assert result.data == {
        "path": "a.txt",
        "size": 13,
        "offset": 1,
        "lines": 2,
        "total_lines": 2,
        "truncated": False,
        "encoding": "utf-8",
    }


@pytest.mark.parametrize(
    ("offset", "limit", "text"),
    [
        (1, 2, "1\n2\n[lines 1 to 2 of 5 lines; go on with offset=3]"),
        (0, 2, "1\n2\n[lines 1 to 2 of 5 lines; go on with offset=3]"),
        (3, 2, "3\n4\n[lines 3 to 4 of 5 lines; go on with offset=5]"),
        (5, 9, "5\n[lines 5 to 5 of 5 lines]"),
        (6, 9, "[the file has only 5 lines]"),
        (-2, 9, "4\n5\n[lines 4 to 5 of 5 lines]"),
        (-2, 1, "4\n[lines 4 to 4 of 5 lines; go on with offset=5]"),
        (-99, 99, "1\n2\n3\n4\n5"),
    ],
)
@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
async def test_a_window_says_where_to_go_on(
    ctx: ToolContext, workspace: Path, ending: str, offset: int, limit: int, text: str
) -> None:
    (workspace / "a").write_bytes((ending or "\n").join("12345").encode() + ending.encode())
    assert (await read(ctx, "a", offset=offset, limit=limit)).text == text


async def test_an_empty_file_says_so(ctx: ToolContext, workspace: Path) -> None:
    (workspace / "a").touch()
    assert (await read(ctx, "a")).text == "[the file is empty]"


async def test_a_limit_below_one_is_refused(ctx: ToolContext, workspace: Path) -> None:
    (workspace / "a").touch()
    with pytest.raises(ToolError, match=r"^invalid_arguments: limit"):
        await read(ctx, "a", limit=0)


ENCODINGS = {
    "UTF-8 with mark": (b"\xef\xbb\xbfa\xc3\xbc", "aü", "utf-8"),
    "UTF-16 little": ("\ufeffaü\n".encode("utf-16-le"), "aü\n[encoded as utf-16-le]", "utf-16-le"),
    "UTF-16 big": ("\ufeffaü\n".encode("utf-16-be"), "aü\n[encoded as utf-16-be]", "utf-16-be"),
    "UTF-32": ("\ufeffaü".encode("utf-32-le"), "aü\n[encoded as utf-32-le]", "utf-32-le"),
    "Latin-1": ("Grüße".encode("latin-1"), "Grüße\n[encoded as latin-1]", "latin-1"),
    "a broken byte": ("Grüße ".encode() + b"\xff", r"Grüße \xff", "utf-8"),
    "a late NUL": (b"a" * 9000 + b"\0" + b"b", "a" * 2000 + "[… 7,002 characters more]", "utf-8"),
    "escape sequences": (b"\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m", "utf-8"),
}


@pytest.mark.parametrize(("raw", "text", "encoding"), ENCODINGS.values(), ids=ENCODINGS.keys())
async def test_fs09_text_in_any_encoding_is_text(
    ctx: ToolContext, workspace: Path, raw: bytes, text: str, encoding: str
) -> None:
    (workspace / "a").write_bytes(raw)
    result = await read(ctx, "a")
    assert result.text == text
    assert result.data is not None
    assert result.data["encoding"] == encoding


BINARIES = {
    "NUL": (b"\0\1\2", "application/octet-stream"),
    "ELF": (b"\x7fELF\2\1\1" + b"\0" * 99, "application/x-elf"),
    "PDF": (b"%PDF-1.7\n\0", "application/pdf"),
    "gzip": (b"\x1f\x8b\x08\0\0", "application/gzip"),
    "broken UTF-16": (b"\xff\xfea\0b", "application/octet-stream"),
    "lone surrogate": (b"\xff\xfe\x00\xd8", "application/octet-stream"),
    "control characters": (bytes(range(1, 8)) * 9, "application/octet-stream"),
}


@pytest.mark.parametrize(("raw", "mime"), BINARIES.values(), ids=BINARIES.keys())
async def test_fs09_a_binary_file_gets_a_typed_answer(ctx: ToolContext, workspace: Path, raw: bytes, mime: str) -> None:
    (workspace / "a").write_bytes(raw)
    data = await data_of(ctx, "a")
    assert (data["binary"], data["mime"], data["size"]) == (True, mime, len(raw))
    assert data["hex"] == raw[:64].hex(" ")


async def test_fs09_one_line_of_50_mb_is_clipped(ctx: ToolContext, workspace: Path) -> None:
    size = 50 << 20
    (workspace / "a").write_bytes(b"x" * size + b"\nend\n")
    result = await read(ctx, "a")
    assert result.text == f"{'x' * 2000}[… {size - 2000:,} characters more]\nend"
    assert result.data is not None
    assert (result.data["truncated"], result.data["total_lines"]) == (True, 2)
    assert len((await read(ctx, "a", offset=-1)).text) < 200


async def test_many_long_lines_are_bounded(ctx: ToolContext, workspace: Path) -> None:
    (workspace / "a").write_text(("x" * 1999 + "\n") * 100)
    result = await read(ctx, "a")
    assert len(result.text) < 103_000
    assert result.text.endswith("[lines 1 to 50 of 100 lines; go on with offset=51]")


async def test_an_image_is_shown(ctx: ToolContext, workspace: Path) -> None:
    (workspace / "a.png").write_bytes(PNG)
    result = await read(ctx, "a.png")
    [image] = result.images
    assert (image.mime, image.size) == ("image/png", len(PNG))
    assert result.text == "a.png: image/png, 58 bytes"


def large(path: Path, lines: int = 600_000) -> None:
    with path.open("w") as file:
        for start in range(1, lines, 10_000):
            file.write("".join(f"line {number:08}\n" for number in range(start, start + 10_000)))


async def test_a_file_too_large_to_be_read_whole_is_read_by_windows(ctx: ToolContext, workspace: Path) -> None:
    large(workspace / "log")
    first = await read(ctx, "log", limit=2)
    assert first.text == "line 00000001\nline 00000002\n[lines 1 to 2 of 8,400,000 bytes; go on with offset=3]"
    middle = await read(ctx, "log", offset=300_000, limit=1)
    assert middle.text.startswith("line 00300000\n[lines 300000 to 300000 of 8,400,000 bytes")
    end = await data_of(ctx, "log", offset=599_999)
    assert (end["lines"], end["total_lines"], end["truncated"], end["sha256"]) == (2, 600_000, False, None)
    last = await read(ctx, "log", offset=-3, limit=2)
    assert last.text.startswith(
        "line 00599998\nline 00599999\n[lines -3 to -2 of 8,400,000 bytes, counted from the end;"
    )
    assert last.text.endswith("go on with offset=-1]")
    assert (await read(ctx, "log", offset=600_001)).text == "[the file has only 600,000 lines]"
    assert (await data_of(ctx, "log", offset=-50_000, limit=2000))["lines"] == 2000


async def test_a_large_file_in_utf_16_is_read_from_both_ends(ctx: ToolContext, workspace: Path) -> None:
    text = "".join(f"Zeile ü {number:06}\n" for number in range(300_000))
    (workspace / "log").write_bytes(("\ufeff" + text).encode("utf-16-le"))
    assert (await read(ctx, "log", limit=1)).text.startswith("Zeile ü 000000\n")
    assert (await read(ctx, "log", offset=-1)).text.startswith("Zeile ü 299999\n")


READING = (
    PEAK_MIB
    + """
import asyncio, sys, types
from concurrent.futures import ThreadPoolExecutor
from autohands.core.workspace import LocalWorkspace
from autohands.extensions.tools_filesystem.read_file import read_file
async def main():
    ctx = types.SimpleNamespace(workspace=LocalWorkspace(sys.argv[1], ThreadPoolExecutor(2)), data={})
    await read_file(ctx, "small")
    before = peak_mib()
    for path, offset in (("sparse", 1), ("log", 1), ("log", -50)):
        result = await read_file(ctx, path, offset)
        print(result.data["truncated"], result.data["size"], len(result.text))
    print(peak_mib() - before)
asyncio.run(main())
"""
)


def test_fs08_files_of_10_gb_are_read_in_constant_memory(workspace: Path) -> None:
    (workspace / "small").write_text("x")
    with (workspace / "sparse").open("wb") as sparse:
        sparse.truncate(10 << 30)
    line = b"2026-01-01 a line of a log\n"
    with (workspace / "log").open("wb") as log:
        log.write(line * 400_000)
        log.seek(10 << 30)
        log.write(line * 400_000)
    if (workspace / "log").stat().st_blocks * 512 > 1 << 30:
        pytest.skip("this file system has no sparse files")
    sparse_answer, head, tail, grown_mib = run_script(READING, workspace).splitlines()
    assert sparse_answer.startswith(f"True {10 << 30} ")
    assert head.startswith(f"True {(10 << 30) + 400_000 * len(line)} ")
    assert tail.startswith("False ")
    assert int(grown_mib) < 32


async def test_a_missing_file_is_told(ctx: ToolContext) -> None:
    with pytest.raises(ToolError, match=r"^not_found: a"):
        await read(ctx, "a")
