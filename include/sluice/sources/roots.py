"""Confinement: which paths a source may name, and opening a file without being led out of them.

Linux only: a file is opened as a bare handle first (O_PATH: no device is woken, no pipe blocks), judged by what that
handle is and where it lies, and only then opened for reading through the handle. A swap of the path in between changes
nothing.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

from sluice.errors import TRY_AGAIN, BadRequest, Unavailable
from sluice.model.reasons import unreadable
from sluice.sources.git.address import canonical_git
from sluice.sources.naming import canonical_s3, canonical_web
from sluice.sources.rows import canonical_rows
from sluice.sources.uri_parts import check_uri, uri_parts


def canonical(uri: str) -> str:
    """One spelling a place, so that a slash more or an escape less is no other source; other URIs as they are. Raises
    BadRequest where it holds what cannot be stored."""
    check_uri(uri)
    try:
        uri_parts(uri.strip())
    except ValueError:
        return uri  # refused by whoever is to read it
    scheme, separator, rest = uri.strip().partition("://")
    if scheme.lower() == "s3":
        return canonical_s3(uri.strip())
    if scheme.lower() in ("http", "https"):
        return canonical_web(uri.strip())
    if scheme.lower() in ("git+file", "git+https"):
        return canonical_git(uri)
    if scheme.lower() == "postgresql":
        return canonical_rows(uri)
    host, _, path = rest.partition("/")
    if not separator or scheme.lower() not in ("file", "jsonl") or host.lower() not in ("", "localhost"):
        return uri
    named = os.path.normpath(b"/" + unquote_to_bytes(path).lstrip(b"/"))
    return f"{scheme.lower()}://{quote_from_bytes(named)}"


def check_root(uri: str, roots: Sequence[Path]) -> Path:
    """The path that a file:// or jsonl:// URI names, links resolved. Raises BadRequest, listing what is allowed."""
    check_uri(uri)
    scheme, _, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    if host not in ("", "localhost") or not slash:
        raise BadRequest(f"A {scheme}:// URI starts with three slashes: {scheme}:///folder. Nothing was read.")
    named = unquote_to_bytes(slash + path)
    if b"\0" in named:
        raise BadRequest(f"The {scheme}:// URI holds a NUL character. Nothing was read.")
    if not roots:
        raise BadRequest(
            "No folder may be read yet. Set SLUICE_FILE_ROOTS to the allowed folders, with ':' between them."
        )
    resolved = Path(os.fsdecode(os.path.realpath(named)))
    if not any(resolved.is_relative_to(os.path.realpath(root)) for root in roots):
        allowed = ", ".join(str(root) for root in roots)
        raise BadRequest(
            f"{uri} is outside the folders that may be read. Allowed: {allowed}. "
            "Choose a path in one of them, or add its folder to SLUICE_FILE_ROOTS (for Airflow also: its variable "
            "sluice_file_roots)."
        )
    if not os.path.lexists(resolved):
        raise BadRequest(
            f"{uri} does not exist. Nothing was read or deleted; correct the path, or mount what is missing."
        )
    return resolved


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
