"""The port Blobs over anything that behaves like a path: pathlib, universal_pathlib, Airflow's ObjectStoragePath."""

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
    """The part of pathlib's interface that is used."""

    @property
    def name(self) -> str: ...

    def __truediv__(self: Self, key: str) -> Self: ...

    def read_bytes(self) -> bytes: ...

    def write_bytes(self, data: bytes) -> int: ...

    def is_dir(self) -> bool: ...

    def iterdir(self: Self) -> Iterable[Self]: ...

    def unlink(self) -> None: ...


class UPathBlobs:
    """Objects below `root`, which need not exist yet. An object store puts an object whole or not at all; on a local
    disk the same is had by a rename. A root that is named by its URI is opened when it is first used."""

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
        """All or nothing; returns the full uri. Raises BadRequest on a path that leaves the root."""
        target = self._at(path)
        try:
            if self._local is None:
                target.write_bytes(content)
            else:
                _replace(self._local.joinpath(*relative_parts(path)), content)
        except OSError as error:
            raise Transient(
                f"Could not write {self.uri(path)}: {error}. Nothing of it was kept; {_remedy(error)}try again."
            ) from error
        return self.uri(path)

    def read(self, path: str) -> bytes:
        """Raises NotFound."""
        target = self._at(path)
        try:
            return target.read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, FileExistsError) as error:
            raise NotFound(f"There is no {self.uri(path)}. Run the step that writes it again.") from error
        except OSError as error:
            raise Transient(f"Could not read {self.uri(path)}: {error}. Try again.") from error

    def remove(self, prefix: str) -> None:
        """An object, or a folder with all that is in it. Deleting what is missing does nothing."""
        try:
            if self._local is None:
                _remove_objects(self._at(prefix))
            else:
                _remove_local(self._local.joinpath(*relative_parts(prefix)))
        except OSError as error:
            raise Transient(f"Could not remove all of {self.uri(prefix)}: {error}. Try again.") from error

    def list(self, prefix: str) -> list[str]:
        """Paths of all objects below a folder, sorted; none where there is no such folder."""
        # What a write has not finished is no object yet.
        return sorted(path for path in self.walk(prefix) if not path.endswith(".part"))

    def walk(self, prefix: str) -> Iterator[str]:
        """Depth first: what is in one folder comes together."""
        try:
            yield from _below(self._at(prefix), "/".join(relative_parts(prefix)))
        except OSError as error:
            raise Transient(f"Could not list all of {self.uri(prefix)}: {error}. Try again.") from error

    def modified_at(self, path: str) -> datetime:
        """Now, where the storage cannot tell: nothing is taken for old by mistake. Raises NotFound."""
        target = self._at(path)
        try:
            if self._local is None:
                return _modified(target)
            return datetime.fromtimestamp(self._local.joinpath(*relative_parts(path)).stat().st_mtime, UTC)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound(f"There is no {self.uri(path)}.") from error
        except OSError as error:
            raise Transient(f"Could not look at {self.uri(path)}: {error}. Try again.") from error

    def uri(self, path: str) -> str:
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
        inside = list(folder.iterdir())
    except FileNotFoundError:  # somebody has just removed it
        return
    for each in inside:
        name = f"{path}/{each.name}"
        if each.is_dir():
            yield from _below(each, name)
        else:
            yield name


def _modified(target: Any) -> datetime:
    """Of an object that fsspec serves: UPath and ObjectStoragePath both name their file system."""
    try:
        found: datetime = target.fs.modified(target.path)
    except NotImplementedError:
        return datetime.now(UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def relative_parts(path: str) -> tuple[str, ...]:
    """The names on the way from the root. Raises BadRequest where the path would leave it."""
    pure = PurePosixPath(path)
    if not pure.parts or pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path or "://" in path:
        raise BadRequest(f"{path!r} is not a path below the artefacts' root: relative, with '/', without '..'.")
    return pure.parts


def _local(root: PathLike | Path) -> Path | None:
    """The root on this machine's disk, if that is where it is."""
    if isinstance(root, Path):
        return root
    if getattr(root, "protocol", None) in ("file", "local"):
        return Path(str(getattr(root, "path", root)))
    return None


def _remedy(error: OSError) -> str:
    if error.errno not in _FULL:
        return ""
    return "make room there, or set SLUICE_ARTEFACTS_URI to a place that has some, and "


def _replace(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    try:
        with partial.open("wb") as file:
            file.write(content)
            # Without it a crash of the machine may leave the name with no bytes behind it.
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
    """Folders of an object store are only parts of names: they go with the last object below them."""
    try:
        if target.is_dir():
            for each in list(target.iterdir()):
                _remove_objects(each)
        else:
            target.unlink()
    except FileNotFoundError:
        return
