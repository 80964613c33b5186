"""Opens a repository to read its objects only (no working tree, no hooks), and resolves the commit that a URI names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pygit2
from pygit2.enums import ObjectType, RepositoryOpenFlag

from sluice.errors import BadRequest, Unavailable
from sluice.sources.git.address import Address
from sluice.sources.git.view import REPAIR, View
from sluice.sources.uri import check_root

_NOTHING = "Nothing was read or deleted."


def open_folder(address: Address, roots: Sequence[Path], admits: Callable[[str], bool] | None = None) -> View:
    """Opens the repository of a git+file:// URI. Raises BadRequest if it or a part of it lies outside the roots, or is
    not admitted."""
    return View(check_root(address.repository.removeprefix("git+"), roots), roots, admits)


def open_own(folder: Path) -> pygit2.Repository:
    """Opens a mirror of a remote repository, which only Sluice writes to. Raises BadRequest if it does not exist."""
    # The owner of the files does not matter: only objects are read, and libgit2 runs no hook or filter for that.
    pygit2.settings.owner_validation = False
    try:
        return pygit2.Repository(str(folder), RepositoryOpenFlag.NO_SEARCH)
    except pygit2.GitError as error:
        raise BadRequest(
            f"{folder} is not a git repository. {_NOTHING} Delete it; the next run fetches it again."
        ) from error


def resolve(repository: pygit2.Repository, address: Address) -> pygit2.Commit:
    """Returns the commit that a source's URI names now. Raises BadRequest."""
    commit = _named(repository, address)
    if address.until is None:
        return commit
    return _at(commit, address.until, address)


def _named(repository: pygit2.Repository, address: Address) -> pygit2.Commit:
    if address.ref is None:
        if repository.head_is_unborn:
            raise BadRequest(
                f"{address.repository} has no commit on its main branch. {_NOTHING} Commit, or name a ref=."
            )
        return _peeled(repository.head.peel(), address)
    for prefix in ("refs/heads/", "refs/tags/", ""):
        name = prefix + address.ref
        if name.startswith("refs/") and name in repository.references:
            return _peeled(repository.references[name].peel(), address)
    if 7 <= len(address.ref) <= 40 and all(letter in "0123456789abcdefABCDEF" for letter in address.ref):
        try:
            return _peeled(repository[address.ref], address)
        except (KeyError, ValueError):  # ValueError: ambiguous
            pass
    raise BadRequest(f"{address.repository} has no branch, tag or commit {address.ref!r}. {_NOTHING} Correct ref=.")


def _peeled(target: Any, address: Address) -> pygit2.Commit:
    try:
        commit = target.peel(ObjectType.COMMIT)
    except (pygit2.GitError, pygit2.InvalidSpecError) as error:
        raise BadRequest(
            f"ref={address.ref!r} of {address.repository} does not lead to a commit. {_NOTHING} Name another."
        ) from error
    assert isinstance(commit, pygit2.Commit)
    return commit


def _at(commit: pygit2.Commit, until: datetime, address: Address) -> pygit2.Commit:
    """Follows first parents: what the branch showed at that time, without the history of merged branches."""
    end = until.timestamp()
    try:
        while commit.commit_time > end and commit.parent_ids:
            commit = commit.parents[0]
    except KeyError as error:  # a shallow clone ends here
        raise BadRequest(
            f"{address.repository} has no history back to {until.date()} (a shallow clone?). {_NOTHING} "
            "Run `git fetch --unshallow` in it, or correct date=."
        ) from error
    if commit.commit_time > end:
        raise BadRequest(f"{address.repository} has no commit at or before {until.date()}. {_NOTHING} Correct date=.")
    return commit


def unavailable(error: Exception) -> Unavailable:
    """Returns the error for a failure while a repository is listed."""
    detail = f"{error}. What was listed so far is not a complete scan; nothing was deleted"
    return Unavailable("the repository", detail, f"Try again. If the error remains: {REPAIR}")
