"""Whether a tenant's quota has room for one more upload, without a count of all its documents at each."""

from __future__ import annotations

import time
from threading import Lock

from sluice.model import TenantUse
from sluice.ports import Ledger

_COUNTED_FOR_S = 10.0


class Room:
    """Counts a tenant that has a quota at most every ten seconds, and in between adds what was let in. A count that is
    not fresh refuses nobody. Others, and what is removed, are seen with the next count; the run that takes an upload in
    decides in any case."""

    def __init__(self) -> None:
        self._counted: dict[str, tuple[float, TenantUse]] = {}
        self._lock = Lock()

    def fits(self, ledger: Ledger, tenant: str, size_bytes: int) -> bool:
        """What quarantine holds of the tenant counts, too."""
        quota = ledger.quota(tenant)
        if not quota.limited:
            return True
        with self._lock:
            counted_at, use = self._counted.get(tenant, (float("-inf"), None))
        fresh = time.monotonic() - counted_at < _COUNTED_FOR_S
        if use is None or use.quota != quota or not (fresh and use.fits(size_bytes)):
            counted_at, use = time.monotonic(), ledger.tenant(tenant).with_refused()
        fits = use.fits(size_bytes)
        with self._lock:
            self._counted[tenant] = (counted_at, use.taking(size_bytes) if fits else use)
        return fits
