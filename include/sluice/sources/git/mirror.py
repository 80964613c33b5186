"""Keeps bare mirrors of remote repositories in the cache folder. A mirror can be deleted at any time; it is then
fetched again.

Fetches over HTTPS only, from a public address or from the host that a connection names, which an administrator has
approved. The login is sent to that host alone. No other host is contacted: a redirect to another host fails at the
check of its certificate, before anything is sent. Objects are never pruned, so that a scan's contents stay readable
after a forced push.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import pygit2
from pygit2.enums import CredentialType, FetchPrune

from sluice.errors import TRY_AGAIN, BadRequest, Forbidden, SluiceError, Terminal, Unavailable
from sluice.ports.readers import Connection
from sluice.retry import retried
from sluice.sources.context import SourceContext
from sluice.sources.git.address import Address
from sluice.sources.git.repository import open_own
from sluice.sources.web.address import may_connect, resolve

FETCH_TIMEOUT_S = 900.0
ANSWER_TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 15.0
MAX_FETCH_BYTES = 4 << 30  # received in one fetch
_REFS = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]


class Mirror:
    """One mirror per reader; processes share its folder under a lock."""

    def __init__(self, address: Address, context: SourceContext) -> None:
        if address.remote is None or context.git_cache is None:
            raise BadRequest("git+https:// sources need a cache folder, which is not set here. Nothing was read.")
        self._url = address.remote
        self._connection = context.connections(address.connection) if address.connection else None
        check_host(self._url, self._connection)
        self._folder = context.git_cache / f"{sha256(self._url.encode()).hexdigest()[:32]}.git"

    def fetch(self) -> None:
        """Updates branches, tags and HEAD from the remote, with retries.

        Raises BadRequest (no such repository, login rejected), Terminal (too large) and Unavailable; earlier objects
        stay.
        """
        if self._connection is None:
            check_public(urlsplit(self._url).hostname or "")
        with self._locked():
            deadline_s = time.monotonic() + FETCH_TIMEOUT_S  # of all attempts
            retried(lambda: fetch(self._folder, self._url, self._connection, deadline_s))

    def opened(self) -> pygit2.Repository:
        """Returns the mirror's repository; fetches it first where it does not exist. Raises as `fetch`."""
        if not self._folder.is_dir():
            self.fetch()
        return open_own(self._folder)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # bounded: the holder stops after FETCH_TIMEOUT_S
            yield


def unused(cache: Path, before_s: float) -> list[Path]:
    """Lists the mirrors that were last fetched before `before_s` (seconds since the epoch). Each run of a source
    fetches first."""
    locks = [each for each in sorted(cache.glob("*.lock")) if each.stat().st_mtime < before_s]
    return [folder for each in locks if (folder := each.with_suffix(".git")).is_dir()]


def remove(folder: Path, before_s: float) -> bool:
    """Deletes a mirror that was not fetched since `before_s`. Returns False if it was, or is being fetched now."""
    with folder.with_suffix(".lock").open("a") as lock:  # does not change its modification time
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if os.fstat(lock.fileno()).st_mtime >= before_s:
            return False
        shutil.rmtree(folder)
        return True


def fetch(folder: Path, url: str, connection: Connection | None, deadline_s: float) -> None:
    """Makes `folder` a bare mirror of `url`; see `Mirror.fetch`. `deadline_s` is a value of `time.monotonic`."""
    pygit2.settings.server_connect_timeout = int(CONNECT_TIMEOUT_S * 1000)
    pygit2.settings.server_timeout = int(ANSWER_TIMEOUT_S * 1000)
    callbacks = Callbacks(urlsplit(url).hostname or "", connection, deadline_s)
    try:
        repository = pygit2.init_repository(str(folder), bare=True)
        remote = repository.remotes.create_anonymous(url)
        heads = remote.list_heads(callbacks=callbacks, connect=True)
        remote.fetch(_REFS, callbacks=callbacks, prune=FetchPrune.PRUNE)
        main = next((head.symref_target for head in heads if head.name == "HEAD"), None)
        if main:
            repository.set_head(main)
    except SluiceError:
        raise
    except (pygit2.GitError, ValueError, KeyError) as error:
        raise _explained(error, url) from error


class Callbacks(pygit2.RemoteCallbacks):
    def __init__(self, host: str, connection: Connection | None, deadline_s: float) -> None:
        super().__init__()
        self._host = host
        self._connection = connection
        self._login_requests = 0
        self._deadline_s = deadline_s

    def credentials(self, url: str, username_from_url: str | None, allowed_types: CredentialType) -> pygit2.UserPass:
        self._login_requests += 1
        if self._connection is None or not self._connection.password:
            raise BadRequest("The repository needs a login. Create a connection and name it: connection=<id>.")
        if self._login_requests > 2:  # two requests, one call each: a third means that the login was rejected
            raise BadRequest("The repository rejected the connection's login. Correct it; nothing was deleted.")
        return pygit2.UserPass(self._connection.login or "git", self._connection.password)

    def certificate_check(self, certificate: object, valid: bool, host: str | bytes) -> bool:
        """Rejects redirects to other hosts: libgit2 follows a first redirect to HTTPS, despite its configuration."""
        name = host.decode("utf-8", "replace") if isinstance(host, bytes) else host
        if name.lower() != self._host:
            raise BadRequest(
                f"The repository at {self._host} redirects to {name[:200]}, which is not followed. Use that address."
            )
        return valid

    def transfer_progress(self, stats: pygit2.remotes.TransferProgress) -> None:
        if time.monotonic() > self._deadline_s:
            raise Unavailable("the remote repository", f"fetching took longer than {FETCH_TIMEOUT_S:.0f} s", TRY_AGAIN)
        if stats.received_bytes > MAX_FETCH_BYTES:
            raise Terminal(
                f"The repository sends more than {MAX_FETCH_BYTES >> 30} GiB. Clone it by hand and use git+file://."
            )


def check_host(url: str, connection: Connection | None) -> None:
    """Raises Forbidden if the connection is for another host: otherwise any source could send the login to its own
    server."""
    if connection is None:
        return
    parts = urlsplit(url)
    if connection.host.lower() != (parts.hostname or "") or (connection.port or 443) != (parts.port or 443):
        raise Forbidden(
            f"The connection is not for {parts.netloc}. Set the connection's host (and port) to that of the repository."
        )


def check_public(host: str) -> None:
    """Raises Forbidden if any address of `host` is not public, and Unavailable if it has no address."""
    try:
        addresses = resolve(host, 443)
    except OSError as error:
        raise Unavailable("the remote repository", f"{host} has no address ({error})", TRY_AGAIN) from error
    if not all(may_connect(address, trusted=False) for address in addresses):
        raise Forbidden(
            f"{host} is not a public address. A server inside the network is read through a connection that names it "
            "as its host: connection=<id>."
        )


def _explained(error: Exception, url: str) -> SluiceError:
    text = str(error)
    if any(f"status code: {code}" in text for code in (401, 403, 404)) or "authentication" in text:
        return BadRequest(
            f"{url} does not exist, or the login may not read it ({text}). Nothing was deleted; correct the URI or "
            "the connection."
        )
    if "redirect" in text:
        return BadRequest(f"{url} redirects elsewhere ({text}), which is not followed. Use the right address.")
    return Unavailable("the remote repository", f"{url}: {text}", TRY_AGAIN)
