"""The error family, split by one question: would a retry help?

    SluiceError
    ├── Transient        yes: a store is down, a lock timed out, a connection broke
    │   ├── Busy         another run has the lease of the source
    │   └── Unavailable  a named dependency cannot be reached or fails
    │       ├── Slow       it runs, but did not answer in time
    │       ├── Lost       it runs, but has lost what was asked for
    │       └── CircuitOpen  it failed several times; it is not called for some seconds
    └── Terminal         no: the same call will fail again
        ├── BadRequest   the request is not valid (usage error, HTTP 4xx)
        │   ├── NotFound   the object does not exist, or the caller may not see it
        │   ├── Forbidden  the caller may not do this
        │   └── Full       the tenant's quota is reached
        ├── LostLease    another run took the source over
        ├── ExtractionError  one document cannot be read; it is quarantined and the run continues
        └── Disagreement the stores differ after a run; the run fails

A message says what happened, what was retained and what to do next.
"""


class SluiceError(Exception):
    """Something in Sluice failed."""


class Transient(SluiceError):
    """A retry may help, after `retry_after_s`."""

    retry_after_s: float = 5.0


START_IT = "Start it (on one machine: `make up`) and try again."
TRY_AGAIN = "Try again when it answers."
LESS_LOAD = (
    "Try again when it has less load, or set a longer time: SLUICE_CALL_TIMEOUT_S; in the query service "
    "SLUICE_SEARCH_TIMEOUT_S for searches, SLUICE_QUERY_TIMEOUT_S for other calls."
)


class Unavailable(Transient):
    """A dependency cannot be reached, or it fails.

    `advice`: what to do. The default fits only what `make up` starts.
    """

    _state = "is not available"

    def __init__(self, dependency: str, detail: str, advice: str = START_IT) -> None:
        self.dependency = dependency
        super().__init__(f"{dependency} {self._state}: {detail.rstrip(' .')}. {advice}")


class Slow(Unavailable):
    """A dependency runs, but did not answer in time."""

    _state = "did not answer in time"

    def __init__(self, dependency: str, detail: str, advice: str = LESS_LOAD) -> None:
        super().__init__(dependency, detail, advice)


class Lost(Unavailable):
    """A dependency runs and answers, but has lost what was asked for."""


class CircuitOpen(Unavailable):
    """A dependency failed several times in a row, so it is not called until it is tried again."""

    _state = "failed several times in a row"

    def __init__(self, dependency: str, retry_after_s: float) -> None:
        super().__init__(dependency, f"it is tried again in {retry_after_s:.1f} s", TRY_AGAIN)
        self.retry_after_s = retry_after_s


class Busy(Transient):
    """Another run is working on this source now."""


class Terminal(SluiceError):
    """A retry would fail in the same way."""


class BadRequest(Terminal):
    """The request is not valid as it was made."""


class NotFound(BadRequest):
    """The object does not exist, or the caller may not see it."""


class Forbidden(BadRequest):
    """The caller may not do this."""


class Full(BadRequest):
    """The tenant's quota is reached."""


class ExtractionError(Terminal):
    """One document cannot be read. `code` is stable; the message says what to do."""

    def __init__(self, code: str, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"{code}: {reason}")


class LostLease(Terminal):
    """Another run took the source over."""


class Disagreement(Terminal):
    """Ledger, vectors and graph do not hold the same chunks."""


def storable_text(error: BaseException | None) -> str:
    """Returns an error as `<class>: <message>`, to be stored; see `shown_text`."""
    return f"{type(error).__name__}: {error}" if isinstance(error, SluiceError) else shown_text(error)


def shown_text(error: BaseException | None) -> str:
    """Returns the message of an error of Sluice. Another error is its class only, because its message may contain text
    of a document. None: the task was ended from outside."""
    if isinstance(error, SluiceError):
        return str(error)
    return f"{type(error).__name__}. See the log" if error else "The task was ended from outside. See its log"
