"""The port Blobs on objects with the interface of a path: pathlib, universal_pathlib, Airflow's ObjectStoragePath."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, TypeVar

from sluice.errors import BadRequest, NotFound, Transient

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
Self = TypeVar("Self", bound="PathLike")


class PathLike(Protocol):
    """The part of pathlib's interface that this module uses."""

    @property
    def name(self) -> str: ...

    def __truediv__(self: Self, key: str) -> Self: ...

    def read_bytes(self) -> bytes: ...

    def write_bytes(self, data: bytes) -> int: ...

    def is_dir(self) -> bool: ...

    def iterdir(self: Self) -> Iterable[Self]: ...

    def unlink(self) -> None: ...


class UPathBlobs:
    """Objects below `root`, which need not exist yet. Writes are atomic: an object store writes an object completely
    or not at all; on a local disk a rename does the same. A root given as a URI is opened on first use."""

    def __init__(self, root: PathLike | Path | str) -> None:
        self._given = root

    @cached_property
    def _root(self) -> PathLike | Path:
        if not isinstance(self._given, str):
            return self._given
        from upath import UPath

        return UPath(self._given)

    @cached_property
    def _local(self) -> Path | None:
        return _local(self._root)

    def write(self, path: str, content: bytes) -> str:
        """Writes an object atomically; returns its full URI. Raises BadRequest on a path that leaves the root."""
        target = self._at(path)
        try:
            if self._local is None:
                target.write_bytes(content)
            else:
                _replace(self._local.joinpath(*relative_parts(path)), content)
        except OSError as error:
            raise Transient(
                f"Could not write {self.uri(path)}: {error}. No part of it was stored; {_remedy(error)}try again."
            ) from error
        return self.uri(path)

    def read(self, path: str) -> bytes:
        """Returns the bytes of an object. Raises NotFound."""
        target = self._at(path)
        try:
            return target.read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, FileExistsError) as error:
            raise NotFound(f"There is no {self.uri(path)}. Run the step that writes it again.") from error
        except OSError as error:
            raise Transient(f"Could not read {self.uri(path)}: {error}. Try again.") from error

    def remove(self, prefix: str) -> None:
        """Deletes an object, or a folder with all its objects. Deleting a missing one is a no-op."""
        try:
            if self._local is None:
                _remove_objects(self._at(prefix))
            else:
                _remove_local(self._local.joinpath(*relative_parts(prefix)))
        except OSError as error:
            raise Transient(f"Could not delete all of {self.uri(prefix)}: {error}. Try again.") from error

    def list(self, prefix: str) -> list[str]:
        """Returns the paths of all objects below a folder, sorted; none if there is no such folder."""
        # An unfinished write is not an object yet.
        return sorted(path for path in self.walk(prefix) if not path.endswith(".part"))

    def walk(self, prefix: str) -> Iterator[str]:
        """Yields the paths of all objects below a folder, depth first, so that objects of one folder are adjacent."""
        try:
            yield from _below(self._at(prefix), "/".join(relative_parts(prefix)))
        except OSError as error:
            raise Transient(f"Could not list all of {self.uri(prefix)}: {error}. Try again.") from error

    def modified_at(self, path: str) -> datetime:
        """Returns the time of the last change; now if the storage does not know it, so that no object seems old by
        mistake. Raises NotFound."""
        target = self._at(path)
        try:
            if self._local is None:
                return _modified(target)
            return datetime.fromtimestamp(self._local.joinpath(*relative_parts(path)).stat().st_mtime, UTC)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound(f"There is no {self.uri(path)}.") from error
        except OSError as error:
            raise Transient(f"Could not read the time of {self.uri(path)}: {error}. Try again.") from error

    def uri(self, path: str) -> str:
        """Returns the full URI of a path. Raises BadRequest on a path that leaves the root."""
        parts = relative_parts(path)
        if self._local is not None:
            return self._local.joinpath(*parts).absolute().as_uri()
        return "/".join([str(self._root).rstrip("/"), *parts])

    def _at(self, path: str) -> PathLike:
        target: PathLike = self._root
        for part in relative_parts(path):
            target = target / part
        return target


def _below(folder: PathLike, path: str) -> Iterator[str]:
    if not folder.is_dir():
        return
    try:
        children = list(folder.iterdir())
    except FileNotFoundError:  # deleted meanwhile
        return
    for child in children:
        name = f"{path}/{child.name}"
        if child.is_dir():
            yield from _below(child, name)
        else:
            yield name


def _modified(target: Any) -> datetime:
    """Returns the time of an fsspec object; UPath and ObjectStoragePath both have their file system as `fs`."""
    try:
        modified: datetime = target.fs.modified(target.path)
    except NotImplementedError:
        return datetime.now(UTC)
    return modified if modified.tzinfo else modified.replace(tzinfo=UTC)


def relative_parts(path: str) -> tuple[str, ...]:
    """Returns the path's names below the root. Raises BadRequest if the path would leave the root."""
    pure = PurePosixPath(path)
    if not pure.parts or pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path or "://" in path:
        raise BadRequest(
            f"{path!r} is not a path below the artefacts' root. Use a relative path with '/' and without '..'."
        )
    return pure.parts


def _local(root: PathLike | Path) -> Path | None:
    """Returns the root as a local path; None if it is not on this machine's disk."""
    if isinstance(root, Path):
        return root
    if getattr(root, "protocol", None) in ("file", "local"):
        return Path(str(getattr(root, "path", root)))
    return None


def _remedy(error: OSError) -> str:
    if error.errno not in _FULL:
        return ""
    return "free space there, or set SLUICE_ARTEFACTS_URI to a place with enough space, and "


def _replace(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    try:
        with partial.open("wb") as file:
            file.write(content)
            # Without fsync a crash of the machine may leave an empty file under the name.
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _remove_local(target: Path) -> None:
    try:
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
    except (FileNotFoundError, NotADirectoryError):
        return


def _remove_objects(target: PathLike) -> None:
    """Deletes objects one by one. Folders of an object store are only parts of names and end with their last object."""
    try:
        if target.is_dir():
            for child in list(target.iterdir()):
                _remove_objects(child)
        else:
            target.unlink()
    except FileNotFoundError:
        return
