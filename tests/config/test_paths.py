"""FS20: the state directory is its owner's alone, whatever the umask."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from autohands.config import home_directory, prepare_home
from autohands.config.paths import write_private
from autohands.protocols.errors import ConfigError


@pytest.fixture(params=[0o000, 0o077, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_fs20_what_is_made_is_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    home = tmp_path / "deep" / "home"
    paths = prepare_home(home)
    write_private(paths.agents / "a.md", b"x")
    assert [mode(path) for path in (home.parent, home, paths.agents)] == [0o700] * 3
    assert mode(paths.agents / "a.md") == 0o600


def test_a_home_that_is_in_order_is_taken_again(home: Path) -> None:
    (home / "autohands.db").touch(0o600)
    assert prepare_home(home) == prepare_home(home)
    assert prepare_home(home).database == home / "autohands.db"


@pytest.mark.parametrize("bits", [0o020, 0o002])
def test_fs20_a_home_that_others_may_write_is_refused_with_the_remedy(home: Path, bits: int) -> None:
    home.chmod(0o700 | bits)
    with pytest.raises(ConfigError, match=rf"may write it .*: chmod go-w {home}"):
        prepare_home(home)


@pytest.mark.parametrize("name", ["config.toml", "autohands.db", "extensions"])
def test_fs20_state_that_others_may_write_is_refused_with_the_remedy(home: Path, name: str) -> None:
    (home / name).mkdir() if "." not in name else (home / name).touch()
    (home / name).chmod(0o777)
    with pytest.raises(ConfigError, match=f"chmod go-w {home / name}"):
        prepare_home(home)
    (home / name).chmod(0o700)
    prepare_home(home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_fs20_a_home_of_another_is_refused(home: Path) -> None:
    os.chown(home, 12_345, -1)
    with pytest.raises(ConfigError, match="belongs to another user"):
        prepare_home(home)


def test_a_file_in_place_of_the_home_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "home").touch(0o600)
    with pytest.raises(ConfigError, match="set AUTOHANDS_HOME to a directory of your own"):
        prepare_home(tmp_path / "home")
    with pytest.raises(ConfigError, match="set AUTOHANDS_HOME to a directory of your own"):
        prepare_home(tmp_path / "home" / "below")


def test_the_home_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert home_directory({"AUTOHANDS_HOME": "here"}) == tmp_path / "here"
    assert home_directory({}) == Path.home() / ".autohands"
    with pytest.raises(ConfigError, match="AUTOHANDS_HOME"):
        home_directory({"AUTOHANDS_HOME": "~nobody-of-that-name/x"})


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken" / "x").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        write_private(tmp_path / "taken", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_writing_through_a_symlink_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_private(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]
