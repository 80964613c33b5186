"""Confinement: opening a file without being led out of the folders that a source may read.

Linux only: a file is opened as a bare handle first (O_PATH: no device is woken, no pipe blocks), judged by what that
handle is and where it lies, and only then opened for reading through the handle. A swap of the path in between changes
nothing.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from urllib.parse import quote_from_bytes

from sluice.errors import TRY_AGAIN, Unavailable
from sluice.model.reasons import unreadable


def open_inside(
    path: bytes, root: bytes, max_bytes: int | None = None, admits: Callable[[str], bool] | None = None
) -> tuple[int, os.stat_result]:
    """A file descriptor open for reading (the caller closes it), and its status. `root` has no links in it. `admits`:
    whether the file that a link leads to may be read, by its URI.

    Raises Unreadable (vanished, permission, broken_link, outside_root, not_a_file, too_large) and Unavailable where the
    storage fails or the root itself is gone.
    """
    handle = _handle(path, root)
    try:
        status = os.fstat(handle)
        real = os.readlink(f"/proc/self/fd/{handle}".encode())
        if not inside(real, root) or (admits and not admits(f"file://{quote_from_bytes(real)}")):
            raise unreadable("outside_root")
        if not stat.S_ISREG(status.st_mode):
            raise unreadable("not_a_file")
        if max_bytes is not None and status.st_size > max_bytes:
            raise unreadable("too_large")
        return _open(f"/proc/self/fd/{handle}".encode(), root, os.O_RDONLY | os.O_CLOEXEC), status
    finally:
        os.close(handle)


def open_folder_inside(path: bytes, root: bytes, admits: Callable[[str], bool] | None = None) -> int:
    """The same for a folder, to be listed. Raises Unreadable (…, not_a_file where it is no folder) and Unavailable."""
    handle = _handle(path, root)
    try:
        real = os.readlink(f"/proc/self/fd/{handle}".encode())
        if not inside(real, root) or (admits and not admits(f"file://{quote_from_bytes(real)}")):
            raise unreadable("outside_root")
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            raise unreadable("not_a_file")
        return _open(f"/proc/self/fd/{handle}".encode(), root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(handle)


def inside(path: bytes, root: bytes) -> bool:
    return path == root or path.startswith(root.rstrip(b"/") + b"/")


def _handle(path: bytes, root: bytes) -> int:
    return _open(path, root, os.O_PATH | os.O_CLOEXEC)


def _open(path: bytes, root: bytes, flags: int) -> int:
    try:
        return os.open(path, flags)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            if not os.path.lexists(root):
                raise Unavailable(
                    "the source's folder", "it is gone", "Mount it, or correct the source's URI, and try again."
                ) from error
            raise unreadable("broken_link" if os.path.islink(path) else "vanished") from error
        if error.errno == errno.ELOOP:
            raise unreadable("broken_link") from error
        if error.errno in (errno.EACCES, errno.EPERM):
            raise unreadable("permission") from error
        raise Unavailable("the source's storage", error.strerror or "it answered with an error", TRY_AGAIN) from error
