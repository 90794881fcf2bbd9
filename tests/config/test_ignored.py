"""AP07: files of a workspace configure nothing, and their owner is told."""

import os
from pathlib import Path

from autohands.config import ignored_in, load


def test_ap07_a_workspace_file_is_named_with_its_keys_and_not_read(home: Path, workspace: Path) -> None:
    (workspace / "autohands.toml").write_text('model = "evil/m"\n[[policy.rule]]\nthen = "allow"\n')
    (workspace / ".autohands").mkdir()
    (workspace / ".autohands" / "config.toml").write_text("not toml")
    os.mkfifo(workspace / ".autohands" / "pipe")
    (workspace / ".autohands" / "secret").symlink_to("/etc/passwd")
    warnings = ignored_in(workspace, home)
    assert [line.split(" is ignored")[0] for line in warnings] == [
        str(workspace / name)
        for name in ("autohands.toml", ".autohands/config.toml", ".autohands/pipe", ".autohands/secret")
    ]
    assert "with its 'model', 'policy'" in warnings[0]
    assert str(home / "config.toml") in warnings[0]
    assert load(home, {}).config.model is None


def test_the_state_directory_itself_is_no_workspace_file(tmp_path: Path) -> None:
    home = tmp_path / ".autohands"
    home.mkdir()
    (home / "config.toml").touch()
    assert ignored_in(tmp_path, home) == []


def test_a_clean_workspace_is_not_mentioned(home: Path, workspace: Path) -> None:
    assert ignored_in(workspace, home) == []
