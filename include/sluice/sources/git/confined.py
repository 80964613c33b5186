"""Opens the files of a repository inside the folders that may be read, and finds the places of its parts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote_to_bytes

from sluice.errors import BadRequest, ExtractionError
from sluice.model.reasons import unreadable
from sluice.sources.roots import open_folder_inside, open_inside

NOTHING = "Nothing was read or deleted."
_SMALL_BYTES = 65_536  # HEAD, a ref, alternates
_MAX_ALTERNATES = 20


def places_read(uri: str, roots: Sequence[Path]) -> set[bytes]:
    """Returns the real paths that a git+file:// source reads beside its own folder: those of a worktree, of alternates,
    and the targets of links that replace a whole part. Empty for other sources.

    Raises BadRequest if its reader would. Does not walk the folders, which may be large: links below these paths are
    checked when they are opened.
    """
    scheme, _, rest = uri.partition("://")
    if scheme.lower() != "git+file":
        return set()
    folder = Path(os.fsdecode(os.path.realpath(unquote_to_bytes("/" + rest.partition("?")[0].partition("/")[2]))))
    confined = Confined(folder, roots)
    git, common = confined.folders()
    stores = confined.stores(common + b"/objects")
    parts = [git, git + b"/HEAD", common, common + b"/refs", common + b"/packed-refs", *stores]
    return {os.path.realpath(part) for part in (*parts, *(store + b"/pack" for store in stores))}


class Confined:
    """Opens only files that lie inside the roots and that `admits` allows by URI."""

    def __init__(self, folder: Path, roots: Sequence[Path], admits: Callable[[str], bool] | None = None) -> None:
        self._folder = os.fsencode(folder)
        self._roots = [os.fsencode(os.path.realpath(root)) for root in roots]
        self._admits = admits

    def folders(self) -> tuple[bytes, bytes]:
        """Returns the folder of HEAD and the folder of refs and objects. They differ in a worktree
        (gitrepository-layout)."""
        git = self._folder + b"/.git"
        try:
            if (link := self.small(git)) is not None:
                if not link.startswith(b"gitdir: "):
                    raise self._not_a_repository()
                git = os.path.join(self._folder, link[len(b"gitdir: ") :].strip())
        except IsADirectoryError:
            pass
        else:
            git = git if link is not None else self._folder
        common = git
        if (path := self.small(git + b"/commondir")) is not None:
            common = os.path.join(git, path.strip())
        if self.small(git + b"/HEAD") is None or not any(True for _ in self.names(common + b"/objects")):
            raise self._not_a_repository()
        return git, common

    def stores(self, objects: bytes) -> list[bytes]:
        """Returns the folders of objects: the repository's own and those of its alternates."""
        object_folders, waiting = [], [objects]
        while waiting:
            store = os.path.normpath(waiting.pop(0))
            if store in object_folders:
                continue
            object_folders.append(store)
            if len(object_folders) > _MAX_ALTERNATES:
                raise BadRequest(
                    f"The repository borrows objects from more than {_MAX_ALTERNATES} places. {NOTHING} "
                    "Run `git repack -a -d` in it and remove objects/info/alternates, or name a full clone."
                )
            lines = (self.small(store + b"/info/alternates") or b"").splitlines()
            waiting += [os.path.join(store, line) for line in lines if line and not line.startswith(b"#")]
            for _ in self.names(store):  # raises now if it may not be read
                break
        return object_folders

    def names(self, folder: bytes) -> Iterator[tuple[bytes, bool]]:
        """Yields (name, is it a folder?); nothing if the folder does not exist."""
        try:
            descriptor = self._open(folder, folders=True)
        except ExtractionError as error:
            if error.code in ("vanished", "broken_link", "not_a_file"):
                return
            raise self._rejected(error) from error
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    yield os.fsencode(entry.name), entry.is_dir()
        finally:
            os.close(descriptor)

    def file(self, path: bytes) -> int | None:
        """Returns an open descriptor, which the caller closes, or None if the file does not exist."""
        try:
            return self._open(path)
        except ExtractionError as error:
            if error.code in ("vanished", "broken_link"):
                return None
            raise self._rejected(error) from error

    def small(self, path: bytes, max_bytes: int = _SMALL_BYTES) -> bytes | None:
        """Returns the content of a small file, or None if it does not exist. Raises IsADirectoryError if it is not a
        file."""
        try:
            descriptor = self._open(path)
        except ExtractionError as error:
            if error.code == "not_a_file":
                raise IsADirectoryError(path) from error
            if error.code in ("vanished", "broken_link"):
                return None
            raise self._rejected(error) from error
        with open(descriptor, "rb") as file:
            content = file.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise BadRequest(
                f"{os.fsdecode(os.path.basename(path))} of the repository is larger than {max_bytes:,} bytes. "
                f"{NOTHING} Delete refs that are not needed (`git pack-refs --all` afterwards), or name another clone."
            )
        return content

    def _open(self, path: bytes, *, folders: bool = False) -> int:
        """Raises ExtractionError, and Unavailable if the repository itself is missing."""
        for root in self._roots:
            try:
                if folders:
                    return open_folder_inside(path, root, self._admits)
                return open_inside(path, root, admits=self._admits)[0]
            except ExtractionError as error:
                if error.code != "outside_root":
                    raise
        raise unreadable("outside_root")

    def _rejected(self, error: ExtractionError) -> BadRequest:
        if error.code == "outside_root":
            return BadRequest(
                f"The repository {os.fsdecode(self._folder)} stores a part of it outside the folders that may be read, "
                f"or in one that is saved for other groups. {NOTHING} Name the main repository, or clone it without "
                "--shared and --reference."
            )
        return BadRequest(
            f"The repository {os.fsdecode(self._folder)} cannot be read ({error.code}). {NOTHING} Give read permission "
            "to the user that runs Sluice; if a file of it is damaged, `git fsck` names it."
        )

    def _not_a_repository(self) -> BadRequest:
        shown = os.fsdecode(self._folder)
        return BadRequest(f"{shown} is not a git repository. {NOTHING} Name the folder that holds .git.")
