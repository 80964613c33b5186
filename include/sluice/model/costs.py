"""What embedding may cost and has cost; what a tenant may hold and holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sluice.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Budget:
    """Of one run. None: without a limit; not priced."""

    max_tokens: int | None = None
    price: float | None = None  # US dollars per million tokens

    def limited(self, max_tokens: int | None = None, max_cost: float | None = None) -> Budget:
        """With what is asked for in place of the limit; of both, what is reached first. `max_cost`: US dollars.
        Raises BadRequest where there is no price to reckon with."""
        limits = [] if max_tokens is None else [max_tokens]
        if max_cost is not None:
            if not self.price:
                raise BadRequest(
                    f"A limit of {max_cost} US dollars means nothing while embedding has no price. Set "
                    "SLUICE_EMBEDDING_PRICE, or limit tokens instead. Nothing was changed."
                )
            limits.append(int(max_cost * 1e6 / self.price))
        return Budget(min(limits), self.price) if limits else self

    def money(self, tokens: int) -> float | None:
        """US dollars; None: not priced."""
        return None if self.price is None else round(tokens * self.price / 1e6, 8)


@dataclass(frozen=True, slots=True)
class Spent:
    """On embedding. Vectors from the cache cost nothing; what was computed twice is counted twice."""

    texts: int = 0
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Quota:
    """None: without a limit."""

    max_documents: int | None = None
    max_bytes: int | None = None

    @property
    def limited(self) -> bool:
        return self.max_documents is not None or self.max_bytes is not None


@dataclass(frozen=True, slots=True)
class TenantUse:
    """Documents that are served in all collections of a tenant, their raw bytes, and how many there may be; and what
    quarantine holds of documents that were never served."""

    tenant: str
    documents: int
    size_bytes: int
    quota: Quota
    refused: int = 0  # documents
    refused_bytes: int = 0

    def fits(self, size_bytes: int, served_bytes: int | None = None) -> bool:
        """Whether a document of this size may be served. `served_bytes`: its size now; None: it is new. One that is
        served and does not grow always fits."""
        most_documents, most_bytes = self.quota.max_documents, self.quota.max_bytes
        if served_bytes is None and most_documents is not None and self.documents >= most_documents:
            return False
        grows = served_bytes is None or size_bytes > served_bytes
        return not grows or most_bytes is None or self.size_bytes + size_bytes - (served_bytes or 0) <= most_bytes

    def taking(self, size_bytes: int, served_bytes: int | None = None) -> TenantUse:
        """With that document served."""
        documents = self.documents + (served_bytes is None)
        return replace(self, documents=documents, size_bytes=self.size_bytes + size_bytes - (served_bytes or 0))

    def with_refused(self) -> TenantUse:
        """What the tenant's storage holds: one who sends what is refused again and again reaches the quota, too."""
        return replace(
            self,
            documents=self.documents + self.refused,
            size_bytes=self.size_bytes + self.refused_bytes,
            refused=0,
            refused_bytes=0,
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.tenant,
            "documents": self.documents,
            "bytes": self.size_bytes,
            "max_documents": self.quota.max_documents,
            "max_bytes": self.quota.max_bytes,
        }
