"""Whether a tenant's quota has room for one more upload, without a count of all its documents at each."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from threading import Lock

from sluice.model.costs import TenantUse
from sluice.ports.ledger import Ledger

_COUNTED_FOR_S = 10.0
_PAUSE_S = 1.0  # between two counts of a tenant whose uploads are refused
_PAUSES = 20  # and at least this many times what the last count took: counting takes 5 % of the time at most


@dataclass(frozen=True, slots=True)
class _Count:
    counted: TenantUse
    expected: TenantUse  # with what was let in since
    at_s: float  # on the monotonic clock
    took_s: float


class QuotaCheck:
    """Counts a tenant that has a quota at most every ten seconds, and in between adds what was let in. Before an upload
    is refused it is counted again, unless that was done a moment ago: a tenant that is full costs no more than others.
    Others, and what is removed, are seen with the next count; the run that ingests an upload decides in any case."""

    def __init__(self) -> None:
        self._counts: dict[str, _Count] = {}
        self._counting: dict[str, Lock] = defaultdict(Lock)

    def fits(self, ledger: Ledger, tenant: str, size_bytes: int) -> bool:
        """What quarantine holds of the tenant counts, too."""
        quota = ledger.quotas.of(tenant)
        if not quota.limited:
            return True
        with self._counting[tenant]:  # those that wait find the count
            found = self._counts.get(tenant)
            if found is None or found.counted.quota != quota or not _is_enough(found, size_bytes):
                found = _count(ledger, tenant)
            fits = found.expected.fits(size_bytes) or found.counted.fits(size_bytes)
            taken = found.expected.taking(size_bytes) if fits else found.expected
            self._counts[tenant] = _Count(found.counted, taken, found.at_s, found.took_s)
            return fits


def _is_enough(found: _Count, size_bytes: int) -> bool:
    age_s = time.monotonic() - found.at_s
    return age_s < (_COUNTED_FOR_S if found.expected.fits(size_bytes) else max(_PAUSE_S, _PAUSES * found.took_s))


def _count(ledger: Ledger, tenant: str) -> _Count:
    began_s = time.monotonic()
    use = ledger.quotas.use(tenant).with_refused()
    return _Count(use, use, time.monotonic(), time.monotonic() - began_s)
