"""A folder's repository through files that were judged when they were opened.

libgit2 opens by name and follows links, also those that are swapped while it reads. So it never sees the folder: it
opens a private, temporary repository instead, whose packs are links to open file descriptors (/proc/self/fd), whose
refs are copies, and whose loose objects come from here one by one. Each file was opened as a bare handle, and that
handle lies inside the folders that may be read; see `roots.open_inside`.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import weakref
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pygit2
from pygit2.enums import ObjectType, RepositoryOpenFlag

from sluice.errors import BadRequest, Unavailable, Unreadable
from sluice.extract.roots import open_folder_inside, open_inside

_NOTHING = "Nothing was read or deleted."
_SMALL_BYTES = 65_536  # HEAD, a ref, alternates
_MAX_REFS_BYTES = 256 << 20  # packed-refs
_MAX_OBJECT_BYTES = 1 << 30  # of a loose object, unpacked
_MAX_HEADER_BYTES = 40
_MAX_PACKS = 400  # two descriptors each
_MAX_REFS = 200_000
_MAX_DEPTH = 20  # folders of refs
_MAX_ALTERNATES = 20
_ID = re.compile(rb"[0-9a-f]{40}")
_REF = re.compile(rb"refs/[^\x00-\x20\x7f]{1,500}")
_PACK = re.compile(rb"pack-[0-9a-f]{40}\.(?:pack|idx)")
_KINDS = {b"blob": ObjectType.BLOB, b"tree": ObjectType.TREE, b"commit": ObjectType.COMMIT, b"tag": ObjectType.TAG}
_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"


class View:
    """Of the repository in `folder`, as it is now. What it holds open ends with this object.

    Raises BadRequest where there is none, or where a part of it lies outside `roots`; Unavailable where the storage
    fails.
    """

    repository: pygit2.Repository

    def __init__(self, folder: Path, roots: Sequence[Path]) -> None:
        confined = _Confined(folder, [os.fsencode(os.path.realpath(root)) for root in roots])
        git, common = confined.folders()
        stores = confined.stores(common + b"/objects")
        view, descriptors = Path(tempfile.mkdtemp(prefix="sluice-git-")), list[int]()
        weakref.finalize(self, _close, view, descriptors)
        _write_refs(view, confined, git, common)
        _link_packs(view, confined, stores, descriptors)
        # Whose the files are is no matter here: only objects are read, and libgit2 runs no hook or filter for that.
        pygit2.settings.owner_validation = False
        self.repository = pygit2.Repository(str(view), RepositoryOpenFlag.BARE | RepositoryOpenFlag.NO_SEARCH)
        self.repository.odb.add_backend(_Loose(confined, stores), 1)
        weakref.finalize(self, self.repository.free)  # its own descriptors; Python would wait for a collection


def _close(view: Path, descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())
    shutil.rmtree(view, ignore_errors=True)


class _Confined:
    """Opens what lies inside the roots, and nothing else."""

    def __init__(self, folder: Path, roots: Sequence[bytes]) -> None:
        self._folder = os.fsencode(folder)
        self._roots = roots

    def folders(self) -> tuple[bytes, bytes]:
        """Of HEAD, and of refs and objects: not the same in a worktree (gitrepository-layout)."""
        git = self._folder + b"/.git"
        try:
            if (link := self.small(git)) is not None:
                if not link.startswith(b"gitdir: "):
                    raise self._none()
                git = os.path.join(self._folder, link[len(b"gitdir: ") :].strip())
        except IsADirectoryError:
            pass
        else:
            git = git if link is not None else self._folder
        common = git
        if (path := self.small(git + b"/commondir")) is not None:
            common = os.path.join(git, path.strip())
        if self.small(git + b"/HEAD") is None or not any(True for _ in self.names(common + b"/objects")):
            raise self._none()
        return git, common

    def stores(self, objects: bytes) -> list[bytes]:
        """Folders of objects: the repository's own, and its alternates'."""
        found, waiting = [], [objects]
        while waiting:
            store = os.path.normpath(waiting.pop(0))
            if store in found:
                continue
            found.append(store)
            if len(found) > _MAX_ALTERNATES:
                raise BadRequest(f"The repository borrows objects from more than {_MAX_ALTERNATES} places. {_NOTHING}")
            lines = (self.small(store + b"/info/alternates") or b"").splitlines()
            waiting += [os.path.join(store, line) for line in lines if line and not line.startswith(b"#")]
            for _ in self.names(store):  # says at once where it may not be read
                break
        return found

    def names(self, folder: bytes) -> Iterator[tuple[bytes, bool]]:
        """(name, is it a folder?). Nothing where there is no such folder."""
        try:
            descriptor = self._open(folder, folders=True)
        except Unreadable as error:
            if error.code in ("vanished", "broken_link", "not_a_file"):
                return
            raise self._refused(error) from error
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    yield os.fsencode(entry.name), entry.is_dir()
        finally:
            os.close(descriptor)

    def file(self, path: bytes) -> int | None:
        """An open descriptor, which the caller closes; None where there is no such file."""
        try:
            return self._open(path)
        except Unreadable as error:
            if error.code in ("vanished", "broken_link"):
                return None
            raise self._refused(error) from error

    def small(self, path: bytes, max_bytes: int = _SMALL_BYTES) -> bytes | None:
        """Raises IsADirectoryError where it is no file."""
        try:
            descriptor = self._open(path)
        except Unreadable as error:
            if error.code == "not_a_file":
                raise IsADirectoryError(path) from error
            if error.code in ("vanished", "broken_link"):
                return None
            raise self._refused(error) from error
        with open(descriptor, "rb") as file:
            content = file.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise BadRequest(f"{os.fsdecode(os.path.basename(path))} of the repository is too large. {_NOTHING}")
        return content

    def _open(self, path: bytes, *, folders: bool = False) -> int:
        """Raises Unreadable, and Unavailable where the repository itself is gone."""
        for root in self._roots:
            try:
                return open_folder_inside(path, root) if folders else open_inside(path, root)[0]
            except Unreadable as error:
                if error.code != "outside_root":
                    raise
                refused = error
        raise refused

    def _refused(self, error: Unreadable) -> BadRequest:
        if error.code == "outside_root":
            return BadRequest(
                f"The repository {os.fsdecode(self._folder)} keeps a part of it outside the folders that may be read. "
                f"{_NOTHING} Name the main repository, or clone it without --shared and --reference."
            )
        return BadRequest(f"The repository {os.fsdecode(self._folder)} cannot be read ({error.code}). {_NOTHING}")

    def _none(self) -> BadRequest:
        shown = os.fsdecode(self._folder)
        return BadRequest(f"{shown} is not a git repository. {_NOTHING} Name the folder that holds .git.")


def _write_refs(view: Path, confined: _Confined, git: bytes, common: bytes) -> None:
    """What names commits: small files that are copied, so that nobody can change them any more."""
    for made in ("objects/pack", "refs/heads"):
        (view / made).mkdir(parents=True)
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


def _loose_refs(confined: _Confined, common: bytes) -> Iterator[bytes]:
    waiting, seen = [(b"refs", 0)], 0
    while waiting:
        folder, depth = waiting.pop()
        for name, is_folder in confined.names(common + b"/" + folder):
            seen += 1
            path = folder + b"/" + name
            if seen > _MAX_REFS or depth > _MAX_DEPTH:
                raise BadRequest(f"The repository has more than {_MAX_REFS} refs, or too deep ones. {_NOTHING}")
            if is_folder:
                waiting.append((path, depth + 1))
            elif _REF.fullmatch(path) and not name.endswith(b".lock"):
                yield path


def _link_packs(view: Path, confined: _Confined, stores: Sequence[bytes], descriptors: list[int]) -> None:
    for store in stores:
        for name, _ in confined.names(store + b"/pack"):
            if not _PACK.fullmatch(name) or (view / "objects/pack" / os.fsdecode(name)).is_symlink():
                continue
            if len(descriptors) >= 2 * _MAX_PACKS:
                raise BadRequest(f"The repository has more than {_MAX_PACKS} packs. {_NOTHING} Run `git gc` in it.")
            if (descriptor := confined.file(store + b"/pack/" + name)) is not None:
                descriptors.append(descriptor)
                (view / "objects/pack" / os.fsdecode(name)).symlink_to(f"/proc/self/fd/{descriptor}")


class _Loose(pygit2.OdbBackend):
    """Objects that are files of their own: zlib of `<kind> <size>\\0<content>`."""

    def __init__(self, confined: _Confined, stores: Sequence[bytes]) -> None:
        super().__init__()
        self._confined = confined
        self._stores = stores

    def read_cb(self, oid: pygit2.Oid | str) -> tuple[int, bytes]:
        kind, size, content = self._unpacked(str(oid), _MAX_OBJECT_BYTES)
        if len(content) != size:
            raise Unavailable("the repository", f"object {oid} is damaged. {_NOTHING}")
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
            found = {prefix} if self.exists_cb(prefix) else set()
        else:
            listed = (name for store in self._stores for name, _ in self._confined.names(_place(store, prefix[:2])))
            found = {prefix[:2] + name.decode("latin-1") for name in listed}
            found = {each for each in found if each.startswith(prefix) and _ID.fullmatch(each.encode("latin-1"))}
        if len(found) > 1:
            raise ValueError(f"{prefix} is ambiguous")
        if not found:
            raise KeyError(prefix)
        return pygit2.Oid(hex=found.pop())

    def refresh_cb(self) -> None:
        """Nothing is remembered."""

    def _unpacked(self, oid: str, max_bytes: int) -> tuple[int, int, bytes]:
        """(kind, size, at most `max_bytes` of the content)."""
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
                raise Unavailable("the repository", f"object {oid} is damaged. {_NOTHING}") from error
        if kind not in _KINDS:
            raise Unavailable("the repository", f"object {oid} is damaged. {_NOTHING}")
        return int(_KINDS[kind]), size, content

    def _descriptor(self, oid: str, *, keep: bool = False) -> int | None:
        for store in self._stores:
            descriptor = self._confined.file(_place(store, oid[:2]) + b"/" + oid[2:].encode("latin-1"))
            if descriptor is not None:
                if not keep:
                    os.close(descriptor)
                return descriptor
        return None


def _place(store: bytes, first: str) -> bytes:
    return store + b"/" + first.encode("latin-1")
