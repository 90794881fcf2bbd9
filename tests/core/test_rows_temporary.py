"""FS13 and FS14 where a file cannot be without a name: what a failed write began is gone again."""

from pathlib import Path

from core.disk import run_script

# A Python as on systems without O_TMPFILE, and a limit that stops a write in its middle.
NAMED = """
import os, resource, signal, sys
if hasattr(os, "O_TMPFILE"):
    del os.O_TMPFILE
from autohands.core.changes import Changes
from autohands.core.tree import Tree
from autohands.protocols.errors import ToolError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, resource.RLIM_INFINITY))
changes = Changes(Tree(sys.argv[1]))
for data in (b"old", b"x" * (1 << 20)):
    try:
        changes.write("a", data, mode=None, parents=False, expected_sha256=None)
        print("done")
    except ToolError as error:
        print(error.text.split(":")[0])
"""


def test_fs14_a_temporary_file_with_a_name_is_removed_when_its_write_fails(workspace: Path) -> None:
    assert run_script(NAMED, workspace).split() == ["done", "file_too_large"]
    assert [(path.name, path.read_bytes()) for path in workspace.iterdir()] == [("a", b"old")]
