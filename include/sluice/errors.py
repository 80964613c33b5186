"""The error family, split by one question: would a retry help?

    SluiceError
    ├── Transient        yes: a store is down, a lock timed out, a connection broke
    │   ├── Busy         another run holds the source
    │   └── Unavailable  a named dependency did not answer in time
    └── Terminal         no: the same call will fail again
        ├── BadRequest   the caller asked for something that cannot be (usage, HTTP 4xx)
        │   ├── NotFound   what was asked for does not exist, or is not the caller's to see
        │   ├── Forbidden  the caller may not do this
        │   └── Full       the tenant may hold no more
        ├── LostClaim    another run took the source over
        ├── Unreadable   one document cannot be read; it is quarantined and the rest goes on
        └── Disagreement the stores do not agree after a run; nothing was hidden

A message says what happened, what was kept and what to do next.
"""


class SluiceError(Exception):
    """Something in Sluice failed."""


class Transient(SluiceError):
    """A retry may help."""


START_IT = "Start it (on one machine: `make up`) and try again."
TRY_AGAIN = "Try again when it answers."


class Unavailable(Transient):
    """A dependency did not answer in time.

    advice: what to do; the default fits what `make up` starts, and nothing else.
    """

    def __init__(self, dependency: str, detail: str, advice: str = START_IT) -> None:
        self.dependency = dependency
        super().__init__(f"{dependency} is not available: {detail.rstrip('.')}. {advice}")


class Busy(Transient):
    """Another run works on this source now."""


class Terminal(SluiceError):
    """A retry would fail in the same way."""


class BadRequest(Terminal):
    """The request cannot be carried out as it was made."""


class NotFound(BadRequest):
    """It does not exist, or the caller may not know that it does."""


class Forbidden(BadRequest):
    """The caller may not do this."""


class Full(BadRequest):
    """The tenant's quota has no room for it."""


class ExtractionError(Terminal):
    """One document cannot be read; `code` is stable, the message says what to do."""

    def __init__(self, code: str, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"{code}: {reason}")


class LostLease(Terminal):
    """Another run took the source over."""


class Disagreement(Terminal):
    """Ledger, vectors and graph do not hold the same chunks."""
