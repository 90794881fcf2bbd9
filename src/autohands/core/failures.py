"""What the system says no with, in words a model can act on."""

from __future__ import annotations

import errno

from autohands.protocols.errors import ToolError

FAILURES = {
    errno.ENOENT: ("not_found", "there is nothing of this name"),
    errno.ENOTDIR: ("not_a_directory", "a part of the path is not a directory"),
    errno.EISDIR: ("is_a_directory", "this is a directory"),
    errno.EEXIST: ("exists", "there is something of this name already"),
    errno.ENOTEMPTY: ("not_empty", "the directory is not empty; `recursive` deletes it with all that is in it"),
    errno.EXDEV: ("path_outside_workspace", "it leads out of the workspace"),
    errno.ELOOP: ("symlink", "it leads through a symbolic link, which is not followed here; name the real path"),
    errno.ENXIO: ("not_a_regular_file", "this is a socket or a device"),
    errno.ENODEV: ("not_a_regular_file", "this is a device"),
    errno.EACCES: ("permission_denied", "the user AutoHands runs as may not do this"),
    errno.EPERM: ("permission_denied", "the system does not allow this"),
    errno.EROFS: ("read_only", "the file system is read-only"),
    errno.ENOSPC: ("storage_full", "the disk is full; free some space and try again"),
    errno.EDQUOT: ("storage_full", "the disk quota is used up; free some space and try again"),
    errno.EFBIG: ("file_too_large", "the file would be larger than the system allows"),
    errno.EMFILE: ("too_many_files", "too many files are open; try again later"),
    errno.ENFILE: ("too_many_files", "the system has too many open files; try again later"),
    errno.ENAMETOOLONG: ("invalid_path", "the name is too long"),
    errno.EINVAL: ("invalid_path", "the system does not accept this"),
    errno.EILSEQ: ("invalid_path", "the file system cannot store this name"),
    errno.EBUSY: ("busy", "it is in use"),
    errno.ETXTBSY: ("busy", "it is a program that runs now"),
    errno.EAGAIN: ("busy", "files are being moved around; try again"),
}


def failure(error: OSError, shown: str) -> ToolError:
    """The error for the model: a stable word, the path as shown, and what to do."""
    word, why = FAILURES.get(error.errno or 0, ("io_error", error.strerror or str(error)))
    return ToolError(f"{word}: {shown}: {why}")
