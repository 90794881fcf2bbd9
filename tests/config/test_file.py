"""CR16: whatever lies where the configuration should be, there is one message with its place."""

import os
from pathlib import Path

import pytest

from autohands.config.file import read_file
from autohands.protocols.errors import ConfigError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_file(path)
    return caught.value.text


@pytest.mark.parametrize(
    ("data", "table"),
    [
        (b"", {}),
        (b"# nothing\n", {}),
        (b'\xef\xbb\xbfmodel = "a/b"\n', {"model": "a/b"}),
        (b'model = "a/b"\r\n[limits]\r\nturns = 3\r\n', {"model": "a/b", "limits": {"turns": 3}}),
        ('model = "ü/語"'.encode(), {"model": "ü/語"}),
    ],
    ids=["empty", "comment", "BOM", "CRLF", "unicode"],
)
def test_cr16_these_are_read(path: Path, data: bytes, table: dict[str, object]) -> None:
    assert read_file(write(path, data)).table == table


def test_cr16_lines_are_right_with_bom_and_crlf(path: Path) -> None:
    file = read_file(write(path, b'\xef\xbb\xbfmodel = "a/b"\r\n\r\n[limits]\r\nturns = 3\r\n'))
    assert file.lines.find(("limits", "turns")) == 4


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'a = 1\nb = "\xff"\n', ":2: byte 0xff is not UTF-8; is this a text file?"),
        (b"\x7fELF\x02\x01\x01\x00", ":1: Invalid statement, column 1"),
        (b"a = 1\n\x00\n", ":2: Invalid statement, column 1"),
        (b"a = 1\nb = \nc = 2\n", ":2: Invalid value, column 5"),
        (b"a = 1\rb = 2\n", ":1: Expected newline or end of document after a statement, column 6"),
        (b'a = "x', ":1: Unterminated string"),
        (
            b"[limits]\nturns = 1\nparallel = 2\nturns = 3\n",
            ":4: limits.turns is set again; it is set in line 2 already",
        ),
        (b"[limits]\n[budget]\n[limits]\n", ":3: limits is set again; it is set in line 1 already"),
        (b"a = " + b"[" * 100_000, ": lists and tables are nested too deep"),
    ],
    ids=["latin-1", "binary", "NUL", "no value", "bare CR", "cut off", "key twice", "table twice", "deep"],
)
def test_cr16_damage_is_located(path: Path, data: bytes, text: str) -> None:
    assert refusal(write(path, data)) == f"{path}{text}"


def test_cr16_a_huge_file_is_not_read(path: Path) -> None:
    write(path, b"a = 1\n")
    os.truncate(path, 100 << 20)
    assert refusal(path) == f"{path}: 104,857,600 bytes long; at most 1,048,576"


def test_cr16_missing(path: Path) -> None:
    assert refusal(path) == f"{path}: cannot be read: No such file or directory"


def test_cr16_a_directory_and_a_fifo_are_no_files(path: Path) -> None:
    path.mkdir()
    assert refusal(path) == f"{path}: not a regular file"
    path.rmdir()
    os.mkfifo(path, 0o600)
    assert refusal(path) == f"{path}: not a regular file"


def test_cr16_a_symlink_is_followed_and_a_dangling_one_named(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "dotfiles.toml"
    path.symlink_to(target)
    assert refusal(path) == f"{path} (a symlink to {target}): cannot be read: No such file or directory"
    write(target, b"a = 1")
    assert read_file(path).table == {"a": 1}
    target.chmod(0o666)
    assert "everybody may write it" in refusal(path)


@pytest.mark.parametrize(("mode", "who"), [(0o620, "its group"), (0o602, "everybody"), (0o666, "everybody")])
def test_fs20_what_others_may_write_is_refused_with_the_remedy(path: Path, mode: int, who: str) -> None:
    write(path, b"a = 1").chmod(mode)
    assert refusal(path) == f"{path}: {who} may write it (mode {mode:04o}): chmod go-w {path}"
    path.chmod(0o644)
    assert read_file(path).table == {"a": 1}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_fs20_what_belongs_to_another_is_refused(path: Path) -> None:
    os.chown(write(path, b"a = 1"), 12_345, -1)
    assert refusal(path) == f"{path}: belongs to another user (uid 12345): chown 0 {path}"
