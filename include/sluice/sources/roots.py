"""Opens files safely inside the folders that a source may read.

Linux only. A file is first opened as a bare handle (O_PATH: this starts no device and blocks on no pipe). The type and
the location of that handle are checked, and only then the file is opened for reading through the handle. So replacing
the path in between has no effect.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote_from_bytes

from sluice.errors import TRY_AGAIN, Unavailable
from sluice.model.reasons import unreadable


def open_inside(
    path: bytes, root: bytes, max_bytes: int | None = None, admits: Callable[[str], bool] | None = None
) -> tuple[int, os.stat_result]:
    """Opens a file for reading. Returns the file descriptor, which the caller closes, and the file's status.

    `root` contains no links. `admits`: may the target of a link be read, by its URI?

    Raises ExtractionError (vanished, permission, broken_link, outside_root, not_a_file, too_large), and Unavailable if
    the storage fails or the root itself is missing.
    """
    with _handle(path, root, admits) as (handle, status):
        if not stat.S_ISREG(status.st_mode):
            raise unreadable("not_a_file")
        if max_bytes is not None and status.st_size > max_bytes:
            raise unreadable("too_large")
        return _open(handle, root, os.O_RDONLY | os.O_CLOEXEC), status


def open_folder_inside(path: bytes, root: bytes, admits: Callable[[str], bool] | None = None) -> int:
    """Opens a folder for listing. Raises ExtractionError (…, not_a_file if it is not a folder) and Unavailable."""
    with _handle(path, root, admits) as (handle, status):
        if not stat.S_ISDIR(status.st_mode):
            raise unreadable("not_a_file")
        return _open(handle, root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def inside(path: bytes, root: bytes) -> bool:
    """Returns whether `path` is `root` or lies below it. Resolves no links."""
    return path == root or path.startswith(root.rstrip(b"/") + b"/")


@contextmanager
def _handle(path: bytes, root: bytes, admits: Callable[[str], bool] | None) -> Iterator[tuple[bytes, os.stat_result]]:
    """Yields the path of a bare handle whose location was checked, and its status."""
    descriptor = _open(path, root, os.O_PATH | os.O_CLOEXEC)
    try:
        handle = f"/proc/self/fd/{descriptor}".encode()
        real = os.readlink(handle)
        if not inside(real, root) or (admits and not admits(f"file://{quote_from_bytes(real)}")):
            raise unreadable("outside_root")
        yield handle, os.fstat(descriptor)
    finally:
        os.close(descriptor)


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
