"""Opening a path beneath a directory: by openat2 where the kernel has it, else step by step."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Callable
from typing import TypeAlias

from autohands.core.names import split

Opener: TypeAlias = Callable[[str, int, bool], int]
"""`(path, flags, follow) → descriptor`; the path is relative and holds no `..`."""

OPENAT2 = 437
NO_MAGICLINKS, NO_SYMLINKS, BENEATH = 0x02, 0x04, 0x08
RENAME_NOREPLACE, RENAME_EXCL = 1, 4
SYMLINKS_AT_MOST = 40
ATTEMPTS = 100

# linux/magic.h: what the kernel shows of itself. Its files look regular and empty, and reading or writing them acts.
KERNEL_FILESYSTEMS = frozenset(
    {
        0x9FA0,  # proc
        0x62656572,  # sysfs
        0x64626720,  # debugfs
        0x74726163,  # tracefs
        0x73636673,  # securityfs
        0x62656570,  # configfs
        0x0027E0EB,  # cgroup
        0x63677270,  # cgroup2
        0xCAFE4A11,  # bpf
        0x42494E4D,  # binfmt_misc
        0xDE5E81E4,  # efivarfs
        0x6165676C,  # pstore
        0xF97CFF8C,  # selinux
        0x6E736673,  # nsfs
    }
)


class OpenHow(ctypes.Structure):
    """`struct open_how` of openat2(2)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class Libc:
    """The system calls that Python has no names for; each raises OSError as `os` does."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)

    def openat2(self, directory: int, path: str, flags: int, resolve: int) -> int:
        """openat2(2), Linux ≥ 5.6: resolve the whole path in one step. ENOSYS where there is none."""
        if sys.platform != "linux":
            raise error(errno.ENOSYS)
        how = OpenHow(flags | os.O_CLOEXEC, 0, resolve)
        for _ in range(ATTEMPTS):
            fd = self._libc.syscall(OPENAT2, directory, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
            if fd >= 0:
                return int(fd)
            if ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR):  # EAGAIN: a rename elsewhere disturbed it
                break
        raise error(ctypes.get_errno())

    def on_kernel_filesystem(self, fd: int) -> bool:
        """Whether an open file belongs to /proc, /sys or their like, by fstatfs(2). False on systems without them."""
        if sys.platform != "linux":
            return False
        answer = ctypes.create_string_buffer(512)
        if self._libc.fstatfs(fd, answer) != 0:
            raise error(ctypes.get_errno())
        return ctypes.c_long.from_buffer(answer).value & 0xFFFFFFFF in KERNEL_FILESYSTEMS

    def rename_new(self, source_fd: int, source: str, destination_fd: int, destination: str) -> None:
        """Rename in one step unless the destination exists (EEXIST): renameat2(2), renameatx_np(2) on macOS.

        Where the system or its file system has neither, it looks first and then renames.
        """
        name, flag = ("renameatx_np", RENAME_EXCL) if sys.platform == "darwin" else ("renameat2", RENAME_NOREPLACE)
        if function := getattr(self._libc, name, None):
            old, new = os.fsencode(source), os.fsencode(destination)
            if function(source_fd, old, destination_fd, new, ctypes.c_uint(flag)) == 0:
                return
            if ctypes.get_errno() not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
                raise error(ctypes.get_errno())
        try:
            os.stat(destination, dir_fd=destination_fd, follow_symlinks=False)
        except FileNotFoundError:
            os.rename(source, destination, src_dir_fd=source_fd, dst_dir_fd=destination_fd)
        else:
            raise error(errno.EEXIST)


def error(code: int) -> OSError:
    """The OSError of an errno."""
    return OSError(code, os.strerror(code))


def open_beneath(root: int) -> Opener:
    """The way to open paths beneath the directory `root`: the kernel's own, else `walk_beneath`."""
    by_kernel = kernel_beneath(root)
    try:
        os.close(by_kernel(".", os.O_RDONLY | os.O_DIRECTORY, False))
    except OSError:  # ENOSYS in old kernels and elsewhere, EPERM under old seccomp profiles
        return walk_beneath(root)
    return by_kernel


def kernel_beneath(root: int) -> Opener:
    """Open by openat2(2). OSError: EXDEV for a path that leads outside, ELOOP for a symlink where none is followed."""
    libc = Libc()

    def open_path(path: str, flags: int, follow: bool) -> int:  # noqa: FBT001  an Opener
        resolve = BENEATH | NO_MAGICLINKS | (0 if follow else NO_SYMLINKS)
        return libc.openat2(root, path, flags, resolve)

    return open_path


def walk_beneath(root: int) -> Opener:
    """Open component by component, each beneath the descriptor of the one before; same errors as `kernel_beneath`."""

    def open_path(path: str, flags: int, follow: bool) -> int:  # noqa: FBT001  an Opener
        return Walk(root, follow=follow).open(path, flags)

    return open_path


class Walk:
    """One resolution of a path: the directories entered so far, the parts still to come, the symlinks still allowed."""

    def __init__(self, root: int, *, follow: bool) -> None:
        self._root = root
        self._entered: list[int] = []
        self._links_left = SYMLINKS_AT_MOST if follow else 0

    def open(self, path: str, flags: int) -> int:
        """A descriptor of `path`. Raises OSError with EXDEV outside the root, ELOOP for a symlink too many."""
        parts = split(path)
        try:
            while parts:
                name = parts.pop(0)
                if not parts and name != ".." and not self._is_link(name):
                    return os.open(name, flags | os.O_NOFOLLOW, dir_fd=self._here)
                self._enter(name, parts)
            return os.open(".", flags, dir_fd=self._here)
        finally:
            for fd in self._entered:
                os.close(fd)

    @property
    def _here(self) -> int:
        return self._entered[-1] if self._entered else self._root

    def _enter(self, name: str, rest: list[str]) -> None:
        if name == "..":
            if not self._entered:
                raise error(errno.EXDEV)
            os.close(self._entered.pop())
        elif self._is_link(name):
            rest[:0] = self._target(name)
        else:
            self._entered.append(os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self._here))

    def _is_link(self, name: str) -> bool:
        return stat.S_ISLNK(os.stat(name, dir_fd=self._here, follow_symlinks=False).st_mode)

    def _target(self, name: str) -> list[str]:
        if not self._links_left:
            raise error(errno.ELOOP)
        self._links_left -= 1
        target = os.readlink(name, dir_fd=self._here)
        if target.startswith("/"):
            raise error(errno.EXDEV)
        return split(target)
