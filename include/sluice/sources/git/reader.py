"""git+file:// and git+https://: one document per file of the tree at one commit.

`external_id` is the path in the repository; the fingerprint is the blob's id. So unchanged files are not read, and a
read finds its bytes by that id even if the branch has moved. Contents come from the object store, not from the working
tree. Hidden files (`.github/…`) are skipped unless an include glob names them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pygit2
from pygit2.enums import ObjectType

from sluice.errors import BadRequest
from sluice.model.document import FetchedDocument
from sluice.model.file_names import printable
from sluice.model.reasons import unreadable
from sluice.model.scan import ListingEntry, WorkItem
from sluice.model.source import SourceSpec
from sluice.sources.context import SourceContext
from sluice.sources.git import tree
from sluice.sources.git.address import parse
from sluice.sources.git.mirror import Mirror
from sluice.sources.git.repository import open_folder, resolve, unavailable
from sluice.sources.git.view import View
from sluice.sources.globs import Globs

_LFS = b"version https://git-lfs.github.com/spec/"  # first bytes of a pointer (git-lfs, docs/spec.md)
_LFS_BYTES = 1024  # a pointer is smaller


class GitReader:
    """SourceReader and IncrementalReader of one repository. The constructor raises BadRequest if the URI is not
    allowed."""

    def __init__(self, spec: SourceSpec, context: SourceContext) -> None:
        self._address = parse(spec.uri)
        self._globs = Globs(spec.include, spec.exclude)
        self._max_bytes = context.max_bytes
        self._since = context.since
        self._roots, self._borrows = context.roots, context.borrows
        self._mirror: Mirror | None = None
        self._refreshed = False
        self._view: View | None = None
        self._repository: pygit2.Repository | None = None
        self._commit: pygit2.Oid | None = None
        if self._address.remote is None:
            if self._address.connection:
                raise BadRequest("git+file:// reads a folder and takes no connection=. Nothing was read.")
            self._open()
        else:
            self._mirror = Mirror(self._address, context)

    def cursor(self) -> str:
        """Returns the id of the commit that `scan` lists. Raises the errors of `scan`."""
        if self._commit is None:
            try:
                if self._mirror is not None:
                    self._mirror.fetch()
                # Resolved once: if the branch moves meanwhile, the next scan sees it.
                self._commit = resolve(self._opened(), self._address).id
            except (pygit2.GitError, OSError) as error:
                raise unavailable(error) from error
        return str(self._commit)

    def scan(self) -> Iterator[ListingEntry]:
        """Lists the files. `previous_name` of an entry is set if git finds a rename since the commit `context.since`.

        Raises BadRequest if the ref or the path does not exist, Unavailable if the repository cannot be read.
        """
        self.cursor()
        assert self._commit is not None
        try:
            repository = self._opened()
            commit = repository[self._commit]
            assert isinstance(commit, pygit2.Commit)
            renamed = tree.renames(repository, self._since, commit) if self._since else {}
            for path, fingerprint, size in tree.files(repository, commit, self._address.path, self._enter):
                if self._admit(path):
                    yield self._entry(path, fingerprint, size, renamed.get(path))
        except (pygit2.GitError, KeyError, OSError) as error:
            raise unavailable(error) from error

    def read(self, item: WorkItem) -> FetchedDocument:
        """Raises ExtractionError (link, submodule, lfs_pointer, too_large, vanished) or Unavailable."""
        fingerprint = item.entry.fingerprint
        if fingerprint.startswith(tree.LINK):
            raise unreadable("link")
        if fingerprint == tree.SUBMODULE:
            raise unreadable("submodule")
        try:
            content = self._blob(fingerprint)
        except (pygit2.GitError, OSError) as error:
            raise unavailable(error) from error
        if len(content) < _LFS_BYTES and content.startswith(_LFS):
            raise unreadable("lfs_pointer")
        return FetchedDocument(item, content)

    def _blob(self, fingerprint: str) -> bytes:
        oid = pygit2.Oid(hex=fingerprint)
        if oid not in self._opened().odb:
            self._refresh()
        odb = self._opened().odb
        if oid not in odb:
            raise unreadable("vanished")
        kind, size = odb.read_header(oid)
        if size > self._max_bytes:
            raise unreadable("too_large")
        if kind != ObjectType.BLOB:
            raise unreadable("not_a_file")
        return bytes(odb.read(oid)[1])

    def _refresh(self) -> None:
        """Makes new objects visible: if one is missing, others are, too. A remote is fetched once; a folder is only
        opened again if its packs changed."""
        if self._mirror is not None and not self._refreshed:
            self._mirror.fetch()  # the scan ran on another machine
            self._refreshed, self._repository = True, None
        elif self._view is not None and not self._view.is_current():
            self._repository = None

    def _opened(self) -> pygit2.Repository:
        return self._repository or self._open()

    def _open(self) -> pygit2.Repository:
        if self._mirror is not None:
            self._repository = self._mirror.opened()
        else:
            self._view = open_folder(self._address, self._roots, self._borrows)
            self._repository = self._view.repository
        return self._repository

    def _entry(self, path: bytes, fingerprint: str, size: int, previous: bytes | None) -> ListingEntry:
        known = previous is not None and self._admit(previous)
        return ListingEntry(
            external_id=printable(path),
            uri=self._address.document(path),
            fingerprint=fingerprint,
            size_bytes=size,
            previous_name=printable(previous) if known and previous is not None else None,
        )

    def _enter(self, folder: bytes) -> bool:
        return self._shown(folder) and not self._globs.prune(printable(folder))

    def _admit(self, path: bytes) -> bool:
        below = self._address.path
        inside = not below or path == below or path.startswith(below + b"/")
        return inside and self._shown(path) and self._globs.admit(printable(path))

    def _shown(self, path: bytes) -> bool:
        """Returns True if the path is not hidden. The path= of the URI never counts as hidden."""
        rest = path[len(self._address.path) :]
        return self._globs.hidden or not any(part.startswith(b".") for part in rest.split(b"/"))
