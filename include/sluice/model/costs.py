"""Embedding budgets and costs; tenants' quotas and their use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sluice.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Budget:
    """The embedding budget of one run. `max_tokens` None: no limit. `price` None: no price is set."""

    max_tokens: int | None = None
    price: float | None = None  # US dollars per million tokens

    def limited(self, max_tokens: int | None = None, max_cost: float | None = None) -> Budget:
        """Returns this budget with the given limit; of two limits the lower one. `max_cost`: US dollars. Raises
        BadRequest for `max_cost` where no price is set."""
        limits = [] if max_tokens is None else [max_tokens]
        if max_cost is not None:
            if not self.price:
                raise BadRequest(
                    f"A limit of {max_cost} US dollars needs a price of embedding, and none is set. Set "
                    "SLUICE_EMBEDDING_PRICE, or limit tokens instead. Nothing was changed."
                )
            limits.append(int(max_cost * 1e6 / self.price))
        return Budget(min(limits), self.price) if limits else self

    def money(self, tokens: int) -> float | None:
        """Returns the cost in US dollars; None where no price is set."""
        return None if self.price is None else round(tokens * self.price / 1e6, 8)


@dataclass(frozen=True, slots=True)
class Spent:
    """Embedding costs so far. Vectors from the cache cost nothing; a text embedded twice is counted twice."""

    texts: int = 0
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Quota:
    """A tenant's quota. None: no limit."""

    max_documents: int | None = None
    max_bytes: int | None = None

    def check(self) -> None:
        """Raises BadRequest on a limit that cannot be stored."""
        for what, most in (("documents", self.max_documents), ("bytes", self.max_bytes)):
            if most is not None and not 0 <= most < 2**63:
                raise BadRequest(f"A quota of {most} {what} is not possible; give 0 or more, or none for no limit.")

    @property
    def limited(self) -> bool:
        return self.max_documents is not None or self.max_bytes is not None


@dataclass(frozen=True, slots=True)
class TenantUse:
    """A tenant's served documents in all collections with their raw bytes, its quota, and the documents in quarantine
    that were never served."""

    tenant: str
    documents: int
    size_bytes: int
    quota: Quota
    quarantined: int = 0  # documents in quarantine that were never served
    quarantined_bytes: int = 0

    def fits(self, size_bytes: int, served_bytes: int | None = None) -> bool:
        """Returns whether the quota allows a document of this size. `served_bytes`: the size served now; None: it is
        new. A served document that does not grow always fits."""
        most_documents, most_bytes = self.quota.max_documents, self.quota.max_bytes
        if served_bytes is None and most_documents is not None and self.documents >= most_documents:
            return False
        grows = served_bytes is None or size_bytes > served_bytes
        return not grows or most_bytes is None or self.size_bytes + size_bytes - (served_bytes or 0) <= most_bytes

    def taking(self, size_bytes: int, served_bytes: int | None = None) -> TenantUse:
        """Returns the use with that document served."""
        documents = self.documents + (served_bytes is None)
        return replace(self, documents=documents, size_bytes=self.size_bytes + size_bytes - (served_bytes or 0))

    def beyond(self, sizes: Mapping[UUID, int], served: Mapping[UUID, int]) -> set[UUID]:
        """Returns the documents that do not fit the quota, in the order of `sizes`. `sizes` and `served`: document →
        bytes of the new and of the served version."""
        use, beyond = self, set()
        for document_id, size_bytes in sizes.items():
            if use.fits(size_bytes, served.get(document_id)):
                use = use.taking(size_bytes, served.get(document_id))
            else:
                beyond.add(document_id)
        return beyond

    def with_quarantined(self) -> TenantUse:
        """Returns the use including quarantine, so that repeated uploads of bad documents count against the quota."""
        return replace(
            self,
            documents=self.documents + self.quarantined,
            size_bytes=self.size_bytes + self.quarantined_bytes,
            quarantined=0,
            quarantined_bytes=0,
        )

    def to_json(self) -> dict[str, Any]:
        """Returns the use and the quota as JSON values; a limit that is not set is None."""
        return {
            "name": self.tenant,
            "documents": self.documents,
            "bytes": self.size_bytes,
            "max_documents": self.quota.max_documents,
            "max_bytes": self.quota.max_bytes,
        }
