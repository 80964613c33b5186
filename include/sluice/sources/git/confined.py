"""Opens what of a repository lies inside the folders that may be read, and tells where its parts lie."""

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
    """Real paths that a git+file:// source reads beside its own folder: of a worktree, of alternates, and where a link
    leads that stands for a whole part. Empty for another kind of source. Raises BadRequest where its reader would.

    Nothing is walked: what these paths hold may be large, and links below them are judged when they are opened.
    """
    scheme, _, rest = uri.partition("://")
    if scheme.lower() != "git+file":
        return set()
    folder = Path(os.fsdecode(os.path.realpath(unquote_to_bytes("/" + rest.partition("?")[0].partition("/")[2]))))
    confined = Confined(folder, roots)
    git, common = confined.folders()
    stores = confined.stores(common + b"/objects")
    parts = [git, git + b"/HEAD", common, common + b"/refs", common + b"/packed-refs", *stores]
    return {os.path.realpath(each) for each in (*parts, *(store + b"/pack" for store in stores))}


class Confined:
    """Opens what lies inside the roots and, by its URI, is admitted; nothing else."""

    def __init__(self, folder: Path, roots: Sequence[Path], admits: Callable[[str], bool] | None = None) -> None:
        self._folder = os.fsencode(folder)
        self._roots = [os.fsencode(os.path.realpath(root)) for root in roots]
        self._admits = admits

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
                raise BadRequest(
                    f"The repository borrows objects from more than {_MAX_ALTERNATES} places. {NOTHING} "
                    "Run `git repack -a -d` in it and remove objects/info/alternates, or name a full clone."
                )
            lines = (self.small(store + b"/info/alternates") or b"").splitlines()
            waiting += [os.path.join(store, line) for line in lines if line and not line.startswith(b"#")]
            for _ in self.names(store):  # says at once where it may not be read
                break
        return found

    def names(self, folder: bytes) -> Iterator[tuple[bytes, bool]]:
        """(name, is it a folder?). Nothing where there is no such folder."""
        try:
            descriptor = self._open(folder, folders=True)
        except ExtractionError as error:
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
        except ExtractionError as error:
            if error.code in ("vanished", "broken_link"):
                return None
            raise self._refused(error) from error

    def small(self, path: bytes, max_bytes: int = _SMALL_BYTES) -> bytes | None:
        """Raises IsADirectoryError where it is no file."""
        try:
            descriptor = self._open(path)
        except ExtractionError as error:
            if error.code == "not_a_file":
                raise IsADirectoryError(path) from error
            if error.code in ("vanished", "broken_link"):
                return None
            raise self._refused(error) from error
        with open(descriptor, "rb") as file:
            content = file.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise BadRequest(
                f"{os.fsdecode(os.path.basename(path))} of the repository is larger than {max_bytes:,} bytes. "
                f"{NOTHING} Remove refs that nobody needs (`git pack-refs --all` afterwards), or name another clone."
            )
        return content

    def _open(self, path: bytes, *, folders: bool = False) -> int:
        """Raises Unreadable, and Unavailable where the repository itself is gone."""
        for root in self._roots:
            try:
                if folders:
                    return open_folder_inside(path, root, self._admits)
                return open_inside(path, root, admits=self._admits)[0]
            except ExtractionError as error:
                if error.code != "outside_root":
                    raise
        raise unreadable("outside_root")

    def _refused(self, error: ExtractionError) -> BadRequest:
        if error.code == "outside_root":
            return BadRequest(
                f"The repository {os.fsdecode(self._folder)} keeps a part of it outside the folders that may be read, "
                f"or in one that is saved for other groups. {NOTHING} Name the main repository, or clone it without "
                "--shared and --reference."
            )
        return BadRequest(
            f"The repository {os.fsdecode(self._folder)} cannot be read ({error.code}). {NOTHING} Give read permission "
            "to the user that runs Sluice; where a file of it is damaged, `git fsck` names it."
        )

    def _none(self) -> BadRequest:
        shown = os.fsdecode(self._folder)
        return BadRequest(f"{shown} is not a git repository. {NOTHING} Name the folder that holds .git.")
