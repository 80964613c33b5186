"""Lists the files of one commit, and finds those that were renamed since another. Reads contents only for renames."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pygit2
from pygit2.enums import DeltaStatus, DiffFind, FileMode

from sluice.errors import BadRequest

LINK, SUBMODULE = "link-", "submodule"
RENAME_LIMIT = 5_000  # files that appeared or vanished between two scans; beyond it, only equal contents are paired
RENAME_PERCENT = 50  # of equal lines; git's default

# Limits of one listing. A thousand bytes of nested trees can stand for more files than a disk can hold.
MAX_VISITED = 5_000_000  # files and folders, including those that globs exclude
MAX_PATH_BYTES = 4096  # PATH_MAX: no working tree could hold it
_MAX_DEPTH = 200  # nested folders; deeper trees are not searched for renames

_FILES = (FileMode.BLOB, FileMode.BLOB_EXECUTABLE)
TreeFile = tuple[bytes, str, int]  # path, fingerprint, size in bytes


def files(
    repository: pygit2.Repository, commit: pygit2.Commit, below: bytes, enter: Callable[[bytes], bool]
) -> Iterator[TreeFile]:
    """Yields the files in the order of the tree. Memory grows with the open folders only.

    `below`: a folder or file, empty for all; `enter`: should this folder be read?

    The fingerprint is the blob's id; that of a symbolic link starts with `LINK`, that of a submodule is `SUBMODULE`;
    neither is followed. Raises BadRequest if `below` is not in the tree, or if the tree has too many files or too long
    paths.
    """
    start: pygit2.Object = commit.tree
    for part in below.split(b"/") if below else ():
        try:
            start = next(entry for entry in _inside(repository, start) if entry.raw_name == part)
        except StopIteration:
            raise BadRequest(
                f"There is no {below.decode('utf-8', 'replace')} in commit {str(commit.id)[:12]}. Nothing was deleted; "
                "correct path=, or forget the source if the folder was deleted for good."
            ) from None
    if below and start.filemode != FileMode.TREE:
        yield from _file(repository, start, below)
        return
    visited = 0
    open_trees = [(below + b"/" if below else b"", _inside(repository, start))]
    while open_trees:
        prefix, rest = open_trees[-1]
        child = next(rest, None)
        if child is None:
            open_trees.pop()
            continue
        path = prefix + (child.raw_name or b"")
        visited += 1
        if visited > MAX_VISITED or len(path) > MAX_PATH_BYTES:
            raise BadRequest(
                f"Commit {str(commit.id)[:12]} has more than {MAX_VISITED:,} files and folders, or a path of more than "
                f"{MAX_PATH_BYTES:,} bytes. The scan is not complete, and nothing was deleted. Read a part of it by "
                "path=, or leave folders out by globs."
            )
        if child.filemode != FileMode.TREE:
            yield from _file(repository, child, path)
        elif enter(path):
            open_trees.append((path + b"/", _inside(repository, child)))


def _inside(repository: pygit2.Repository, item: pygit2.Object) -> Iterator[pygit2.Object]:
    """Yields the entries of a folder; nothing if the object is not a folder."""
    if item.filemode == FileMode.TREE:
        item = repository[item.id]
    return iter(item) if isinstance(item, pygit2.Tree) else iter(())


def _file(repository: pygit2.Repository, item: pygit2.Object, path: bytes) -> Iterator[TreeFile]:
    if item.filemode == FileMode.COMMIT:
        yield path, SUBMODULE, 0
    elif item.filemode == FileMode.LINK:
        yield path, f"{LINK}{item.id}", 0
    else:
        yield path, str(item.id), repository.odb.read_header(item.id)[1]


def renames(repository: pygit2.Repository, since: str, now: pygit2.Commit) -> dict[bytes, bytes]:
    """Maps paths now to paths in commit `since`, as git finds them.

    Empty if `since` is not in the history of `now`, or if a tree exceeds the limits of a listing, because git's
    comparison has no limits.
    """
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
    """Counts files and folders below a tree; each different tree is read once. A tree that is too deep exceeds the
    limit."""
    if depth == 0:
        return MAX_VISITED + 1
    if tree.id not in known:
        known[tree.id] = 0
        count = len(tree)
        for entry in tree:
            inner = repository[entry.id] if entry.filemode == FileMode.TREE else None
            if isinstance(inner, pygit2.Tree):
                count += _entries(repository, inner, known, depth - 1)
        known[tree.id] = count
    return known[tree.id]
