"""Shows a folder's repository through files that were checked when they were opened.

libgit2 opens files by name and follows links, even if they are replaced while it reads. So it never sees the folder. It
opens a private, temporary repository instead: packs are links to open file descriptors (/proc/self/fd), refs are
copies, and loose objects are passed to it one by one. Each file is opened as a bare handle first, and that handle must
lie inside the folders that may be read; see `roots.open_inside`.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import weakref
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pygit2
from pygit2.enums import ObjectType, RepositoryOpenFlag

from sluice.errors import BadRequest, Unavailable
from sluice.sources.git.confined import NOTHING, Confined

_MAX_REFS_BYTES = 256 << 20  # packed-refs
_MAX_OBJECT_BYTES = 1 << 30  # of a loose object, unpacked
_MAX_HEADER_BYTES = 40
_MAX_PACKS = 400  # two descriptors each
_MAX_REFS = 200_000
_MAX_DEPTH = 20  # folders of refs
_ID = re.compile(rb"[0-9a-f]{40}")
_REF = re.compile(rb"refs/[^\x00-\x20\x7f]{1,500}")
_PACK = re.compile(rb"pack-[0-9a-f]{40}\.(?:pack|idx)")
_KINDS = {b"blob": ObjectType.BLOB, b"tree": ObjectType.TREE, b"commit": ObjectType.COMMIT, b"tag": ObjectType.TAG}
REPAIR = (
    "Run `git fsck` in it, and get what is damaged from another clone (`git fetch`) or a backup. A copy in Sluice's "
    "cache can be removed: it is fetched anew. Then run the ingest again."
)
_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"


class View:
    """The current state of the repository in `folder`. Its open files are closed with this object.

    Raises BadRequest if there is no repository, or if a part of it lies outside `roots` or is not admitted (`admits`:
    by the URI of a file or folder, when it is opened); Unavailable if the storage fails.
    """

    repository: pygit2.Repository

    def __init__(self, folder: Path, roots: Sequence[Path], admits: Callable[[str], bool] | None = None) -> None:
        confined = Confined(folder, roots, admits)
        git, common = confined.folders()
        stores = confined.stores(common + b"/objects")
        self._confined, self._stores = confined, stores
        self._packs = self._listed_packs()
        view, descriptors = Path(tempfile.mkdtemp(prefix="sluice-git-")), list[int]()
        weakref.finalize(self, _close, view, descriptors)
        _write_refs(view, confined, git, common)
        _link_packs(view, confined, stores, descriptors)
        # The owner of the files does not matter: only objects are read, and libgit2 runs no hook or filter for that.
        pygit2.settings.owner_validation = False
        self.repository = pygit2.Repository(str(view), RepositoryOpenFlag.BARE | RepositoryOpenFlag.NO_SEARCH)
        self.repository.odb.add_backend(_Loose(confined, stores), 1)
        weakref.finalize(self, self.repository.free)  # closes its descriptors without waiting for a collection

    def is_current(self) -> bool:
        """Returns True if the packs are the same as when this was opened. Loose objects are looked up each time."""
        return self._packs == self._listed_packs()

    def _listed_packs(self) -> set[bytes]:
        packs = (store + b"/pack" for store in self._stores)
        return {pack + b"/" + name for pack in packs for name, _ in self._confined.names(pack) if _PACK.fullmatch(name)}


def _close(view: Path, descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())
    shutil.rmtree(view, ignore_errors=True)


def _write_refs(view: Path, confined: Confined, git: bytes, common: bytes) -> None:
    """Copies the small files that name commits, so that they cannot change any more."""
    for folder_name in ("objects/pack", "refs/heads"):
        (view / folder_name).mkdir(parents=True)
    (view / "config").write_text(_CONFIG)
    ids: dict[bytes, bytes] = {}
    for line in (confined.small(common + b"/packed-refs", _MAX_REFS_BYTES) or b"").splitlines():
        hexed, _, name = line.partition(b" ")
        if _ID.fullmatch(hexed) and _REF.fullmatch(name):
            ids[name] = hexed
    for name in _loose_refs(confined, common):
        content = (confined.small(common + b"/" + name) or b"").strip()
        if _ID.fullmatch(content):
            ids[name] = content
        elif content.startswith(b"ref: ") and _REF.fullmatch(content[len(b"ref: ") :]):
            ids.pop(name, None)
            path = view / os.fsdecode(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content + b"\n")
    lines = [ids[name] + b" " + name + b"\n" for name in sorted(ids)]
    (view / "packed-refs").write_bytes(b"# pack-refs with: sorted\n" + b"".join(lines))
    for name, folder in ((b"HEAD", git), (b"shallow", common)):
        copied = confined.small(folder + b"/" + name, _MAX_REFS_BYTES)
        if copied is not None:
            (view / os.fsdecode(name)).write_bytes(copied)


def _loose_refs(confined: Confined, common: bytes) -> Iterator[bytes]:
    waiting, visited = [(b"refs", 0)], 0
    while waiting:
        folder, depth = waiting.pop()
        for name, is_folder in confined.names(common + b"/" + folder):
            visited += 1
            path = folder + b"/" + name
            if visited > _MAX_REFS or depth > _MAX_DEPTH:
                raise BadRequest(
                    f"The repository has more than {_MAX_REFS} refs, or too deeply nested ones. {NOTHING} Delete some."
                )
            if is_folder:
                waiting.append((path, depth + 1))
            elif _REF.fullmatch(path) and not name.endswith(b".lock"):
                yield path


def _link_packs(view: Path, confined: Confined, stores: Sequence[bytes], descriptors: list[int]) -> None:
    for store in stores:
        for name, _ in confined.names(store + b"/pack"):
            if not _PACK.fullmatch(name) or (view / "objects/pack" / os.fsdecode(name)).is_symlink():
                continue
            if len(descriptors) >= 2 * _MAX_PACKS:
                raise BadRequest(f"The repository has more than {_MAX_PACKS} packs. {NOTHING} Run `git gc` in it.")
            if (descriptor := confined.file(store + b"/pack/" + name)) is not None:
                descriptors.append(descriptor)
                (view / "objects/pack" / os.fsdecode(name)).symlink_to(f"/proc/self/fd/{descriptor}")


class _Loose(pygit2.OdbBackend):
    """Loose objects, which are files of their own: zlib of `<kind> <size>\\0<content>`."""

    def __init__(self, confined: Confined, stores: Sequence[bytes]) -> None:
        super().__init__()
        self._confined = confined
        self._stores = stores

    def read_cb(self, oid: pygit2.Oid | str) -> tuple[int, bytes]:
        kind, size, content = self._unpacked(str(oid), _MAX_OBJECT_BYTES)
        if len(content) != size:
            raise _damaged(oid)
        return kind, content

    def read_header_cb(self, oid: pygit2.Oid | str) -> tuple[int, int]:
        return self._unpacked(str(oid), 0)[:2]

    def read_prefix_cb(self, prefix: str) -> tuple[int, bytes, pygit2.Oid]:
        oid = self.exists_prefix_cb(prefix)
        return (*self.read_cb(oid), oid)

    def exists_cb(self, oid: pygit2.Oid | str) -> bool:
        return self._descriptor(str(oid)) is not None

    def exists_prefix_cb(self, prefix: str) -> pygit2.Oid:
        prefix = str(prefix)
        if len(prefix) == 40:
            matches = {prefix} if self.exists_cb(prefix) else set()
        else:
            names = (name for store in self._stores for name, _ in self._confined.names(_place(store, prefix[:2])))
            matches = {prefix[:2] + name.decode("latin-1") for name in names}
            matches = {oid for oid in matches if oid.startswith(prefix) and _ID.fullmatch(oid.encode("latin-1"))}
        if len(matches) > 1:
            raise ValueError(f"{prefix} is ambiguous")
        if not matches:
            raise KeyError(prefix)
        return pygit2.Oid(hex=matches.pop())

    def refresh_cb(self) -> None:
        """Does nothing: no state is cached."""

    def _unpacked(self, oid: str, max_bytes: int) -> tuple[int, int, bytes]:
        """Returns (kind, size, at most `max_bytes` of the content)."""
        descriptor = self._descriptor(oid, keep=True)
        if descriptor is None:
            raise KeyError(oid)
        unpacker = zlib.decompressobj()
        with open(descriptor, "rb") as file:
            try:
                head = unpacker.decompress(file.read(4096), _MAX_HEADER_BYTES)
                declared, _, content = head.partition(b"\0")
                kind, _, digits = declared.partition(b" ")
                size = int(digits)
                if max_bytes and size <= max_bytes:
                    rest = unpacker.unconsumed_tail + file.read()
                    content += unpacker.decompress(rest, max(1, size + 1 - len(content)))
            except (zlib.error, ValueError, OSError) as error:
                raise _damaged(oid) from error
        if kind not in _KINDS:
            raise _damaged(oid)
        return int(_KINDS[kind]), size, content

    def _descriptor(self, oid: str, *, keep: bool = False) -> int | None:
        for store in self._stores:
            descriptor = self._confined.file(_place(store, oid[:2]) + b"/" + oid[2:].encode("latin-1"))
            if descriptor is not None:
                if not keep:
                    os.close(descriptor)
                return descriptor
        return None


def _damaged(oid: pygit2.Oid | str) -> Unavailable:
    return Unavailable("the repository", f"its object {oid} is damaged. {NOTHING}", REPAIR)


def _place(store: bytes, first: str) -> bytes:
    return store + b"/" + first.encode("latin-1")
