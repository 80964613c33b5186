"""file:///folder (recursive) or file:///one/file.

A scan lists files, links and special files, ordered by name. Hidden files and folders (leading dot) are left out unless
an include glob names one. A link to a file is an entry of its own. A link to a folder inside the source is followed,
once per target and never into its own parents, whose files are listed under their real path anyway. Links that lead out
of the source, broken links and special files are listed, and quarantined when read, so that no file is dropped
silently. A folder that cannot be listed ends the scan with an error. A zip is opened if an include glob names its
members (`members.py`); `.zip!/` in other names is then printed as `.zip%21/`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from urllib.parse import quote

from sluice.errors import TRY_AGAIN, Terminal, Unavailable
from sluice.model.document import FetchedDocument
from sluice.model.file_names import original, printable
from sluice.model.reasons import unreadable
from sluice.model.scan import ListingEntry, WorkItem
from sluice.model.source import SourceSpec
from sluice.sources.context import SourceContext
from sluice.sources.globs import Globs
from sluice.sources.members import Archive, members_of, read_member, storage_failed
from sluice.sources.roots import inside, open_inside
from sluice.sources.schemes import path_scheme
from sluice.sources.uri import check_root

_READ_ATTEMPTS = 3
_INCOMPLETE = "The scan is not complete, and nothing was deleted."

_DirEntry = os.DirEntry[bytes]
_Key = tuple[int, int]  # device, inode
SCHEME = path_scheme("file:FileReader", "file:///folder (or one file)")


class FileReader:
    """SourceReader of a folder or one file. The constructor raises BadRequest if the URI is not allowed."""

    def __init__(self, spec: SourceSpec, context: SourceContext) -> None:
        path = os.fsencode(check_root(spec.uri, context.roots))
        self._name = None if os.path.isdir(path) else os.path.basename(path)
        self._root = path if self._name is None else os.path.dirname(path)
        self._prefix = self._root.rstrip(b"/") + b"/"
        self._globs = Globs(spec.include, spec.exclude)
        self._max_bytes = context.max_bytes
        self._admits = context.admits
        self._archive: tuple[bytes, os.stat_result, Archive] | None = None  # the last one read

    def scan(self) -> Iterator[ListingEntry]:
        """Raises Terminal or Unavailable if a folder cannot be listed; the scan is then not complete."""
        if self._name is not None:
            yield from self._entries(self._name, _status(self._prefix + self._name, follow=True))
            return
        followed: set[_Key] = set()
        open_folders = [(_key(_status(self._root, follow=True)), self._list(self._root))]
        while open_folders:
            entry = next(open_folders[-1][1], None)
            if entry is None:
                open_folders.pop()
            elif not self._globs.hidden and entry.name.startswith(b"."):
                continue
            elif self._is_folder(entry):
                key = self._follow(entry, [key for key, _ in open_folders], followed)
                if key is not None:
                    open_folders.append((key, self._list(entry.path)))
            else:
                relative = entry.path[len(self._prefix) :]
                shown = self._printed(relative)
                if self._globs.admit(shown) or self._globs.opens(shown):
                    yield from self._entries(relative, _status(entry.path, follow=self._leads_inside(entry)))

    def read(self, item: WorkItem) -> FetchedDocument:
        """Raises ExtractionError or Unavailable; see `roots.open_inside`."""
        external_id = item.entry.external_id
        member = read_member(external_id, self._globs, self._max_bytes, lambda zip_id: self._opened(_relative(zip_id)))
        if member is not None:
            return FetchedDocument(item, member)
        relative = _relative(external_id)
        for _ in range(_READ_ATTEMPTS):
            descriptor, before = open_inside(self._prefix + relative, self._root, self._max_bytes, self._admits)
            with open(descriptor, "rb") as file:
                try:
                    content = file.read(before.st_size + 1)  # one byte more than expected shows that the file grew
                except OSError as error:
                    raise storage_failed(error) from error
                after = os.fstat(descriptor)
            if _state(before) == _state(after) and len(content) == after.st_size:
                return FetchedDocument(item, content)
        raise unreadable("changing")

    def _entries(self, relative: bytes, status: os.stat_result) -> Iterator[ListingEntry]:
        entry = self._entry(relative, status)
        if not self._globs.opens(entry.external_id):
            yield entry
            return
        yield from members_of(entry, self._globs, lambda: self._opened(relative))
        self._archive = None

    def _opened(self, relative: bytes) -> Archive:
        """Opens a zip. The last one stays open while its file is unchanged.

        Raises ExtractionError, NotAnArchive and Unavailable.
        """
        descriptor, status = open_inside(self._prefix + relative, self._root, None, self._admits)
        if self._archive is not None and self._archive[0] == relative and _state(self._archive[1]) == _state(status):
            os.close(descriptor)
            return self._archive[2]
        archive = Archive(open(descriptor, "rb"))  # noqa: SIM115 -- Archive closes it
        self._archive = (relative, status, archive)
        return archive

    def _printed(self, relative: bytes) -> str:
        return self._globs.printed(printable(relative))

    def _list(self, folder: bytes) -> Iterator[_DirEntry]:
        shown = printable(folder[len(self._prefix) :]) or "itself"
        try:
            with os.scandir(folder) as entries:
                return iter(sorted(entries, key=lambda entry: entry.name))
        except PermissionError as error:
            raise Terminal(
                f"The source's folder ({shown}) may not be listed. {_INCOMPLETE} Give read permission, or exclude it."
            ) from error
        except OSError as error:
            raise Unavailable(
                "the source", f"its folder ({shown}): {error.strerror}. {_INCOMPLETE}", TRY_AGAIN
            ) from error

    def _is_folder(self, entry: _DirEntry) -> bool:
        """Returns True for a folder. A link that leads out of the source is not a folder: it is listed as a link."""
        if entry.is_symlink():  # DirEntry.is_dir() raises on a link to itself
            return os.path.isdir(entry.path) and self._leads_inside(entry)
        return entry.is_dir()

    def _leads_inside(self, entry: _DirEntry) -> bool:
        return not entry.is_symlink() or inside(os.path.realpath(entry.path), self._root)

    def _follow(self, entry: _DirEntry, parents: list[_Key], followed: set[_Key]) -> _Key | None:
        """Returns the folder's key, or None if the folder need not be read."""
        below = self._printed(entry.path[len(self._prefix) :] + b"/")
        if self._globs.prune(below.removesuffix("/")):
            return None
        key = _key(_status(entry.path, follow=True))
        if entry.is_symlink():
            if key in parents or key in followed:
                return None
            followed.add(key)
        return key

    def _entry(self, relative: bytes, status: os.stat_result) -> ListingEntry:
        # ctime shows edits whose mtime was set back (rsync, cp -p, unpacking) and changed permissions. A copy or a
        # checkout also changes it; that costs one read, and the content hash shows that nothing changed. The inode
        # would add nothing, and is not stable on network file systems.
        return ListingEntry(
            external_id=self._printed(relative),
            uri="file://" + quote(self._prefix + relative),
            fingerprint=f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}",
            size_bytes=status.st_size,
        )


def _relative(external_id: str) -> bytes:
    """Decodes an external id into a path relative to the root. Raises ExtractionError (outside_root)."""
    relative = original(external_id)
    if relative.startswith(b"/") or b"\0" in relative or b".." in relative.split(b"/"):
        raise unreadable("outside_root")
    return relative


def _status(path: bytes, *, follow: bool) -> os.stat_result:
    try:
        return os.stat(path) if follow else os.lstat(path)
    except OSError as error:
        if follow and os.path.islink(path):  # broken or circular: listed as a link
            return os.lstat(path)
        raise Unavailable(
            "the source", f"it changed or failed while it was listed. {_INCOMPLETE}", TRY_AGAIN
        ) from error


def _state(status: os.stat_result) -> tuple[int, ...]:
    """Returns a value that also changes with an edit that sets the modification time back; see `FileReader._entry`."""
    return *_key(status), status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _key(status: os.stat_result) -> _Key:
    return status.st_dev, status.st_ino
