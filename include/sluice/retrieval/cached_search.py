"""Searches whose outcomes are cached.

The ledger decides whether an entry is fresh, never the cache. Each search reads the epoch of the collection from the
ledger first, and everything else later; its outcome is stored under this epoch. So an outcome under an epoch is never
older than the epoch, and no search reads an entry of an earlier epoch than its own. An expiry changes no epoch: the
entry has the time of the next one, which is compared with the ledger's clock.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from sluice.errors import Unavailable
from sluice.model.catalog import Live
from sluice.model.grants import Principal
from sluice.model.search import Degradation, SearchRequest
from sluice.ports.catalog import Catalog
from sluice.retrieval.encrypted_cache import EncryptedCache, EntryKey
from sluice.retrieval.searching import SearchOutcome, checked_question
from sluice.retrieval.single_flight import SingleFlight

log = logging.getLogger(__name__)

Result = TypeVar("Result")

LiveSearch = Callable[[SearchRequest, Principal, Live], SearchOutcome]

LOST: Degradation = "cache"
# An outcome that lacks one of these is the same a moment later; one that lacks a store or time is not, so it is not
# cached.
_LASTING = frozenset({"refill"})
LOCK_S = 1.0  # longest wait for a server that searches the same; longer than nearly all searches
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.005, 0.05


@dataclass(frozen=True, slots=True)
class StoredOutcome:
    """`expires_at`: when a document expires that may be in the outcome, by the ledger's clock; None: none expires."""

    outcome: SearchOutcome
    expires_at: datetime | None

    def valid(self, live: Live) -> bool:
        """Returns whether this may still answer a search that has read `live`, under the same key."""
        return self.expires_at is None or live.read_at < self.expires_at


_STORED = TypeAdapter(StoredOutcome)


class CachedSearch:
    """`search` with a cache in front of it. Every caller has entries of their own: response times must not reveal what
    others have asked (docs/decisions/0038).

    `cached` is true of an outcome that was computed for an earlier or a concurrent search; `took_ms` is always this
    search's. If the cache cannot be used, the outcome is complete, and `degraded` has `cache`.
    """

    def __init__(
        self, search: LiveSearch, catalog: Catalog, cache: EncryptedCache, *, ttl_s: float, wait_s: float
    ) -> None:
        """`ttl_s`: longest time that an outcome is cached. `wait_s`: for an equal search in this process."""
        self._search, self._catalog, self._cache = search, catalog, cache
        self._ttl_s, self._wait_s = ttl_s, wait_s
        self._flights: SingleFlight[StoredOutcome] = SingleFlight()

    def __call__(self, request: SearchRequest, principal: Principal) -> SearchOutcome:
        """Raises as `search` does; a cache that fails raises nothing."""
        started = time.perf_counter()
        checked_question(request)
        live = self._catalog.live(request.collection, principal)
        key = self._cache.key(
            "search",
            request=request,
            principal=principal,
            generation=live.generation,
            sources=live.sources,
            epoch=live.epoch,
        )

        def compute() -> StoredOutcome:
            return StoredOutcome(self._search(request, principal, live), live.next_expiry)

        def answer() -> StoredOutcome:
            return _Attempt(self._cache, key, live, self._ttl_s).outcome(compute)

        stored, shared = self._flights.run(key.name, answer, self._wait_s)
        if not stored.valid(live):  # a document expired while this search waited for an equal one
            stored, shared = compute(), False
        cached = stored.outcome.cached or shared
        return replace(stored.outcome, cached=cached, took_ms=round((time.perf_counter() - started) * 1000, 2))


class _Attempt:
    """One search's use of the cache. After the first failure the cache is not called again: each call could take its
    whole timeout."""

    def __init__(self, cache: EncryptedCache, key: EntryKey, live: Live, ttl_s: float) -> None:
        self._cache, self._key, self._live, self._ttl_s = cache, key, live, ttl_s
        self._lost = False

    def outcome(self, compute: Callable[[], StoredOutcome]) -> StoredOutcome:
        """Returns the entry, else what `compute` returns, which is then stored. Of concurrent callers on several
        servers, one computes; the others wait for its entry, for LOCK_S at most."""
        stored, release = self._entry_or_lock()
        try:
            if stored is None:
                stored = compute()
                self._store(stored)
        finally:
            if release is not None:
                self._tried(release)
        if not self._lost:
            return stored
        return replace(stored, outcome=replace(stored.outcome, degraded=(*stored.outcome.degraded, LOST)))

    def _entry_or_lock(self) -> tuple[StoredOutcome | None, Callable[[], None] | None]:
        deadline_s, pause_s = time.monotonic() + LOCK_S, _FIRST_PAUSE_S
        while True:
            if stored := self._stored():
                return stored, None
            release = self._tried(lambda: self._cache.lock(self._key, LOCK_S))
            if release is not None or self._lost or time.monotonic() >= deadline_s:
                return None, release
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _stored(self) -> StoredOutcome | None:
        content = self._tried(lambda: self._cache.get(self._key))
        if content is None:
            return None
        try:
            stored = _STORED.validate_json(content)
        except ValidationError:
            log.warning("An entry of the search cache has another form than this release writes; it is not used")
            return None
        return replace(stored, outcome=replace(stored.outcome, cached=True)) if stored.valid(self._live) else None

    def _store(self, stored: StoredOutcome) -> None:
        if not _LASTING.issuperset(stored.outcome.degraded):
            return
        ttl_s = self._ttl_s
        if stored.expires_at is not None:
            ttl_s = min(ttl_s, (stored.expires_at - self._live.read_at).total_seconds())
        content = _STORED.dump_json(stored)
        self._tried(lambda: self._cache.put(self._key, content, ttl_s))

    def _tried(self, call: Callable[[], Result]) -> Result | None:
        if self._lost:
            return None
        try:
            return call()
        except Unavailable as error:
            log.debug("search without its cache: %s", error)  # its guard logs the change
            self._lost = True
            return None
