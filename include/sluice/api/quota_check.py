"""Checks a tenant's quota before an upload, without counting all its documents each time."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from threading import Lock

from sluice.model.costs import TenantUse
from sluice.ports.quotas import Quotas

_COUNTED_FOR_S = 10.0
_PAUSE_S = 1.0  # least time between two counts of a tenant whose quota is reached
_PAUSES = 20  # and at least this many times the duration of the last count: counting takes 5 % of the time at most


@dataclass(frozen=True, slots=True)
class _Count:
    counted: TenantUse
    expected: TenantUse  # the count plus the uploads admitted since
    at_s: float  # on the monotonic clock
    took_s: float


class QuotaCheck:
    """Caches the use of each tenant that has a quota for ten seconds, and adds the admitted uploads to it.

    Before it rejects an upload it counts again, unless the last count is very recent, so that a full tenant does not
    cost more than others. Changes by other processes, and deletions, are seen with the next count. The run that
    ingests the upload makes the final decision."""

    def __init__(self) -> None:
        self._counts: dict[str, _Count] = {}
        self._counting: dict[str, Lock] = defaultdict(Lock)

    def fits(self, quotas: Quotas, tenant: str, size_bytes: int) -> bool:
        """Returns whether `size_bytes` more fit into the tenant's quota. Quarantined documents count, too."""
        quota = quotas.of(tenant)
        if not quota.limited:
            return True
        with self._counting[tenant]:  # one caller counts; the others wait and use its count
            count = self._counts.get(tenant)
            if count is None or count.counted.quota != quota or not _is_enough(count, size_bytes):
                count = _count(quotas, tenant)
            fits = count.expected.fits(size_bytes) or count.counted.fits(size_bytes)
            expected = count.expected.taking(size_bytes) if fits else count.expected
            self._counts[tenant] = _Count(count.counted, expected, count.at_s, count.took_s)
            return fits


def _is_enough(count: _Count, size_bytes: int) -> bool:
    age_s = time.monotonic() - count.at_s
    return age_s < (_COUNTED_FOR_S if count.expected.fits(size_bytes) else max(_PAUSE_S, _PAUSES * count.took_s))


def _count(quotas: Quotas, tenant: str) -> _Count:
    began_s = time.monotonic()
    use = quotas.use(tenant).with_quarantined()
    return _Count(use, use, time.monotonic(), time.monotonic() - began_s)
