"""A guard limits what one failing dependency costs its callers.

- Bulkhead: at most `calls` calls run at once, in threads of the guard. A caller leaves a call that hangs.
- Timeout: each call gets its own limit, and its share of the caller's budget (`deadline`).
- Retry: a call that failed at once is repeated after a short random pause.
- Circuit breaker: after `failures` failures in a row, calls fail at once. After `pause_s` one call is tried; if it
  succeeds, the breaker closes. A trial that its caller has left goes on: a store that has just started needs longer for
  its first answer than a caller waits. When it ends well, the next call is tried at once.
- Log: one line when the breaker opens and one when it closes; before it opens, one for each failure.

The breaker's counts and states are those of the library `circuitbreaker`, the retries those of `tenacity`
(docs/decisions/0053).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from threading import BoundedSemaphore, Lock
from typing import Literal, ParamSpec, TypeVar

from circuitbreaker import CircuitBreaker
from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_before_delay, wait_random

from sluice.errors import CircuitOpen, Lost, Slow, Transient, Unavailable
from sluice.resilience import deadline

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
State = Literal["closed", "open", "half-open"]
Observe = Callable[[str, float, bool], object]
"""(dependency, duration of a call in ms, whether it failed)"""

_PAUSE_S = (0.02, 0.1)  # before a repeated call: the shortest and the longest
_STATES: dict[str, State] = {"closed": "closed", "open": "open", "half_open": "half-open"}


@dataclass(frozen=True, slots=True)
class Limits:
    """The thresholds of one dependency."""

    calls: int  # at once
    timeout_s: float  # of a call with its repetitions
    share: float  # of a search's time budget, for one call
    wait_s: float  # for one of the `calls`
    attempts: int = 2
    failures: int = 5  # in a row, which open the breaker
    pause_s: float = 5.0  # of an open breaker, until it tries one call


class Guard:
    """Guards the calls to one dependency. Threads may share it."""

    def __init__(self, dependency: str, limits: Limits, observe: Observe = lambda *_: None) -> None:
        self._dependency, self._limits, self._observe = dependency, limits, observe
        self._breaker = CircuitBreaker(limits.failures, limits.pause_s, _is_failure, dependency)
        self._lock = Lock()  # the library has none
        self._trial_ends_s = 0.0  # until then, one call is trying whether the dependency works again
        self._slots = BoundedSemaphore(limits.calls)
        self._threads = ThreadPoolExecutor(limits.calls, thread_name_prefix=f"sluice-{dependency}")

    @property
    def state(self) -> State:
        """Returns the breaker's state; half-open: the next call is a trial."""
        with self._lock:
            return _STATES[self._breaker.state]

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Returns the result of a call that may be repeated. Raises its errors; CircuitOpen at once while the breaker
        is open; Slow if the call takes too long, or all calls are in use."""
        limit_s = deadline.limited_s(self._limits.timeout_s, self._limits.share)
        ends_s = time.monotonic() + limit_s
        retrying = Retrying(
            retry=retry_if_exception(_may_be_repeated),
            stop=stop_after_attempt(self._limits.attempts) | stop_before_delay(limit_s),
            wait=wait_random(*_PAUSE_S),
            reraise=True,
        )
        return retrying(lambda: self._attempt(lambda: function(*args, **kwargs), ends_s))

    def call_inline(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Returns the result of a call that must neither be left nor repeated, such as a write. It runs in the caller's
        thread. Raises CircuitOpen while the breaker is open. Its success does not close the breaker, because the result
        may be a context manager that has called nothing yet; so only a failure is observed."""
        with self._lock:
            self._check_not_open()
        started_s = time.monotonic()
        try:
            return function(*args, **kwargs)
        except Unavailable as error:
            self._record(error)
            self._observe(self._dependency, (time.monotonic() - started_s) * 1000, _counts(error))
            raise

    def close(self) -> None:
        """Ends the guard's threads; calls that hang end by their clients' timeouts."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _attempt(self, call: Callable[[], T], ends_s: float) -> T:
        trial = self._admit()
        goes_on = False
        wait_s = max(0.0, min(self._limits.wait_s, ends_s - time.monotonic()))
        try:
            if not self._slots.acquire(timeout=wait_s):
                # Not a failure: the calls in use count when they end or are left.
                raise Slow(self._dependency, f"all of its {self._limits.calls} concurrent calls are in use")
            started_s = time.monotonic()
            future = self._submitted(call)
            error = self._error_of(future, ends_s, started_s)
            goes_on = trial and not future.done()
            if goes_on:
                future.add_done_callback(self._ended_late)
            else:
                self._record(error)
            self._observe(self._dependency, (time.monotonic() - started_s) * 1000, _counts(error))
        finally:
            if trial and not goes_on:
                self._trial_ends_s = 0.0
        if error is None:
            return future.result()
        raise error from error.__cause__

    def _admit(self) -> bool:
        """Returns whether the call is a trial. Raises CircuitOpen."""
        with self._lock:
            if self._breaker.closed:
                return False
            self._check_not_open()
            now_s = time.monotonic()
            if now_s < self._trial_ends_s:
                raise CircuitOpen(self._dependency, self._limits.pause_s)
            self._trial_ends_s = now_s + self._limits.timeout_s
            return True

    def _check_not_open(self) -> None:
        if self._breaker.opened:
            raise CircuitOpen(self._dependency, max(0.0, self._breaker.open_remaining))

    def _error_of(self, future: Future[T], ends_s: float, started_s: float) -> Exception | None:
        """Waits for the call until `ends_s`. Returns its error, Slow if it has not ended, None if it has a result."""
        wait([future], max(0.0, ends_s - time.monotonic()))
        if not future.done():
            return self._left(started_s)
        try:
            future.result()  # at once: a TimeoutError from here is the call's own
        except Exception as raised:
            return raised
        return None

    def _ended_late(self, future: Future[T]) -> None:
        """Ends a trial that its caller has left. Its success does not close the breaker: a store that is always late
        would cost several callers their time again."""
        error = None if future.cancelled() else future.exception()
        if error is not None:
            self._record(error)
        self._trial_ends_s = 0.0

    def _submitted(self, call: Callable[[], T]) -> Future[T]:
        """Runs the call in a thread of the guard; its slot is free when it ends, even if the caller has left."""
        try:
            future = self._threads.submit(call)
        except BaseException:
            self._slots.release()
            raise
        future.add_done_callback(lambda _: self._slots.release())
        return future

    def _left(self, started_s: float) -> Slow:
        return Slow(self._dependency, f"no answer within {time.monotonic() - started_s:.2f} s")

    def _record(self, error: BaseException | None) -> None:
        with self._lock:
            before = self._breaker.state
            with suppress(Exception), self._breaker:
                if error is not None:
                    raise error
            after = self._breaker.state
        if before != after and "closed" in (before, after):
            log.warning("breaker %s: dependency=%s was=%s error=%s", after, self._dependency, before, error)
        elif before == "closed" and isinstance(error, Unavailable):
            log.info("call failed: dependency=%s error=%s", self._dependency, error)


def _is_failure(kind: type[BaseException], error: BaseException) -> bool:
    """Returns whether an error shows that the dependency is down. Another error shows that it answers."""
    return issubclass(kind, Unavailable) and not issubclass(kind, Lost)


def _counts(error: BaseException | None) -> bool:
    return error is not None and _is_failure(type(error), error)


def _may_be_repeated(error: BaseException) -> bool:
    """Returns whether a repeated call may succeed in time: not after a call that used the time up."""
    return isinstance(error, Transient) and not isinstance(error, Slow | Lost | CircuitOpen)
