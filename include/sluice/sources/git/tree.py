"""The files of one commit, and which of them were renamed since another. Reads no contents but for renames."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pygit2
from pygit2.enums import DeltaStatus, DiffFind, FileMode

from sluice.errors import BadRequest

LINK, SUBMODULE = "link-", "submodule"
RENAME_LIMIT = 5_000  # files that appeared or vanished between two scans; above, only equal contents are paired
RENAME_PERCENT = 50  # of lines alike; git's own default

# Of one listing. A thousand bytes of trees that name each other twice stand for more files than a disk can hold.
MAX_VISITED = 5_000_000  # files and folders, also those that globs leave out
MAX_PATH_BYTES = 4096  # PATH_MAX: no working tree could hold it
_MAX_DEPTH = 200  # folders within folders, for renames to be looked for

_FILES = (FileMode.BLOB, FileMode.BLOB_EXECUTABLE)
Found = tuple[bytes, str, int]  # path, fingerprint, size in bytes


def files(
    repository: pygit2.Repository, commit: pygit2.Commit, below: bytes, enter: Callable[[bytes], bool]
) -> Iterator[Found]:
    """In the order of the tree, with memory for the open folders alone.

    `below`: a folder or file, empty for all; `enter`: is a folder wanted?

    The fingerprint is the blob's id; a symbolic link's starts with `LINK`, a submodule's is `SUBMODULE`: neither is
    followed. Raises BadRequest where `below` is not in the tree, and where the tree has too many or too long paths.
    """
    start: pygit2.Object = commit.tree
    for part in below.split(b"/") if below else ():
        try:
            start = next(each for each in _inside(repository, start) if each.raw_name == part)
        except StopIteration:
            raise BadRequest(
                f"There is no {below.decode('utf-8', 'replace')} in commit {str(commit.id)[:12]}. Nothing was deleted; "
                "correct path=, or forget the source if the folder is gone for good."
            ) from None
    if below and start.filemode != FileMode.TREE:
        yield from _file(repository, start, below)
        return
    visited = 0
    open_trees = [(below + b"/" if below else b"", _inside(repository, start))]
    while open_trees:
        prefix, rest = open_trees[-1]
        found = next(rest, None)
        if found is None:
            open_trees.pop()
            continue
        path = prefix + (found.raw_name or b"")
        visited += 1
        if visited > MAX_VISITED or len(path) > MAX_PATH_BYTES:
            raise BadRequest(
                f"Commit {str(commit.id)[:12]} has more than {MAX_VISITED:,} files and folders, or a path of more than "
                f"{MAX_PATH_BYTES:,} bytes. The scan is not complete, and nothing was deleted. Read a part of it by "
                "path=, or leave folders out by globs."
            )
        if found.filemode != FileMode.TREE:
            yield from _file(repository, found, path)
        elif enter(path):
            open_trees.append((path + b"/", _inside(repository, found)))


def _inside(repository: pygit2.Repository, found: pygit2.Object) -> Iterator[pygit2.Object]:
    """Nothing where it is no folder."""
    if found.filemode == FileMode.TREE:
        found = repository[found.id]
    return iter(found) if isinstance(found, pygit2.Tree) else iter(())


def _file(repository: pygit2.Repository, found: pygit2.Object, path: bytes) -> Iterator[Found]:
    if found.filemode == FileMode.COMMIT:
        yield path, SUBMODULE, 0
    elif found.filemode == FileMode.LINK:
        yield path, f"{LINK}{found.id}", 0
    else:
        yield path, str(found.id), repository.odb.read_header(found.id)[1]


def renames(repository: pygit2.Repository, since: str, now: pygit2.Commit) -> dict[bytes, bytes]:
    """Path now → path in commit `since`, as git finds them. Empty where `since` is not in the history of `now`, and
    where a tree is larger than what may be listed: comparing knows no limits of its own."""
    before = repository.get(since) if len(since) == 40 else None
    if not isinstance(before, pygit2.Commit) or before.id == now.id:
        return {}
    if not repository.descendant_of(now.id, before.id):
        return {}
    known: dict[pygit2.Oid, int] = {}
    if any(_entries(repository, commit.tree, known, _MAX_DEPTH) > MAX_VISITED for commit in (before, now)):
        return {}
    diff = before.tree.diff_to_tree(now.tree)
    diff.find_similar(flags=DiffFind.FIND_RENAMES, rename_threshold=RENAME_PERCENT, rename_limit=RENAME_LIMIT)
    return {
        delta.new_file.raw_path: delta.old_file.raw_path
        for delta in diff.deltas
        if delta.status == DeltaStatus.RENAMED and delta.old_file.mode in _FILES and delta.new_file.mode in _FILES
    }


def _entries(repository: pygit2.Repository, tree: pygit2.Tree, known: dict[pygit2.Oid, int], depth: int) -> int:
    """Files and folders below a tree; each different tree is read once. More than allowed where it is too deep."""
    if depth == 0:
        return MAX_VISITED + 1
    if tree.id not in known:
        known[tree.id] = 0
        count = len(tree)
        for each in tree:
            inner = repository[each.id] if each.filemode == FileMode.TREE else None
            if isinstance(inner, pygit2.Tree):
                count += _entries(repository, inner, known, depth - 1)
        known[tree.id] = count
    return known[tree.id]
