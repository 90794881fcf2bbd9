"""The hard floor: what is denied whatever the rules say, and what is none of its business."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autohands.protocols.errors import ToolError
from autohands.protocols.messages import ToolCall
from autohands.protocols.tool import Effect
from autohands.runtime.guards.floor import Floor

HOME = str(Path.home())


class Place:
    """A workspace as the floor sees it."""

    root = f"{HOME}/project"

    def relative(self, path: str) -> str:
        """A path from the root."""
        if path.startswith("/"):
            raise ToolError("path_outside_workspace")
        return path


def reason(name: str, effect: Effect = "irreversible", **arguments: Any) -> str | None:
    """Why the floor denies a call."""
    return Floor(f"{HOME}/.autohands", ("/etc/autohands.toml",))(ToolCall("1", name, arguments), effect, Place())


@pytest.mark.parametrize(
    "command",
    [
        "rm -rf /",
        "rm -rf /*",
        "rm -rf ~",
        "rm -rf ~/*",
        "rm -fr $HOME",
        'rm -rf "${HOME}"',
        "rm -rf .",
        "rm -rf ./*",
        "rm -rf ..",
        "rm -r --no-preserve-root /x",
        f"rm -rf {HOME}/project",
        f"rm -rf {HOME}/project/../project/",
        "rmdir /",
        "ls; rm -rf /",
        "true && (rm -rf ~)",
        "echo $(rm -rf ~)",
        "echo `rm -rf /`",
        "sudo rm -rf /",
        "sudo -u root env A=b timeout 5 rm -rf /",
        'bash -c "rm -rf /"',
        "sh -c 'cd x; rm -rf ~'",
        'eval "rm -rf /"',
        "/bin/rm -rf /",
        "A=1 rm -rf /",
        "if true; then rm -rf /; fi",
        "cd x\nrm -rf /",
        "rm \\\n -rf /",
        "find / -delete",
        "find . -depth -delete",
        "find / -name x -exec rm -rf / ;",
        "xargs rm -rf /",
    ],
)
def test_fs19_ap11_what_would_delete_the_whole_is_denied(command: str) -> None:
    assert "deletes the workspace itself" in (reason("exec", command=command) or "")


@pytest.mark.parametrize(
    "command",
    [
        "dd if=x of=/dev/sda",
        "echo x > /dev/nvme0n1",
        "mkfs.ext4 /dev/vda1",
        "wipefs -a /dev/mapper/root",
        "cat x >/dev/mem",
    ],
)
def test_ap11_a_disk_is_not_written(command: str) -> None:
    assert "a disk" in (reason("exec", command=command) or "")


@pytest.mark.parametrize(
    "command",
    [
        "echo x > ~/.autohands/config.toml",
        "cat $HOME/.autohands/token",
        f"python3 -c \"open('{HOME}/.autohands/autohands.db','w')\"",
        "sed -i s/ask/allow/ ../.autohands/config.toml",
        "tee --output=/etc/autohands.toml",
        "ls $AUTOHANDS_HOME",
        "autohands config set policy.approval_seconds 1",
        "autohands approval allow apr_1",
        "python -m autohands stop-all --clear",
        "autohands task decide t done",
    ],
)
def test_ap11_its_own_state_and_rules_are_not_touched(command: str) -> None:
    assert reason("exec", command=command)


@pytest.mark.parametrize(
    ("name", "path"),
    [("write_file", "/dev/sda"), ("write_file", "~/.autohands/x"), ("edit_file", "../.autohands/config.toml"),
     ("remove_tree", "."), ("delete_file", "~"), ("purge", "/"), ("write_file", "/etc/autohands.toml")],
)  # fmt: skip
def test_ap11_fs19_paths_of_tools(name: str, path: str) -> None:
    assert reason(name, path=path)


@pytest.mark.parametrize(
    "command",
    [
        "rm -rf build",
        "rm -rf ./build/*",
        "rm *.pyc",
        "rm /tmp/x",
        "find . -name '*.pyc' -delete",
        "ls /",
        "ls ~",
        "echo 'rm -rf /'",
        "git commit -m 'rm -rf / is bad'",
        "cat x > /dev/null",
        "lsblk /dev/sda",
        "grep -r x .",
        "cd ..",
        "echo 'it is",
        "autohands config show",
        "autohands task list",
    ],
)
def test_ordinary_work_is_none_of_its_business(command: str) -> None:
    assert reason("exec", command=command) is None


def test_a_read_and_a_plain_path_are_not_either() -> None:
    assert reason("list_directory", "read", path="/") is None
    assert reason("write_file", path="src/a.py") is None
    assert reason("create_directory", path=".") is None
    assert reason("exec", command="make", cwd=".") is None


def test_a_workspace_in_the_state_directory_can_be_worked_on() -> None:
    class Inside(Place):
        root = f"{HOME}/.autohands/work"

    floor = Floor(f"{HOME}/.autohands")
    assert floor(ToolCall("1", "write_file", {"path": "a"}), "idempotent", Inside()) is None
    assert floor(ToolCall("1", "exec", {"command": f"ls {Inside.root}/a"}), "irreversible", Inside()) is None
    assert floor(ToolCall("1", "write_file", {"path": "../config.toml"}), "idempotent", Inside())
    assert floor(ToolCall("1", "exec", {"command": "cat ../config.toml"}), "irreversible", Inside())
