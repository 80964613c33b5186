"""What a guard costs its callers, and how its breaker opens and closes, by a clock of the test's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import circuitbreaker
import pytest

from sluice.errors import BadRequest, CircuitOpen, Lost, Slow, Terminal, Transient, Unavailable
from sluice.resilience import deadline
from sluice.resilience.guard import Guard, Limits
from sluice.resilience.guarded import guarded
from sluice.wiring.guards import guarded_keyring
from support.waiting import wait_until

LIMITS = Limits(calls=2, timeout_s=10.0, share=1.0, wait_s=0.0, attempts=1, failures=3, pause_s=5.0)
DOWN = Unavailable("store", "connection refused")


@dataclass
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(circuitbreaker, "monotonic", clock)
    return clock


@pytest.fixture
def make_guard(clock: Clock) -> Iterator[Callable[..., Guard]]:
    made: list[Guard] = []

    def make(**changes: Any) -> Guard:
        made.append(Guard("store", replace(LIMITS, **changes)))
        return made[-1]

    yield make
    for guard in made:
        guard.close()


class Store:
    """Raises `error` if there is one. Counts its calls."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.calls = 0

    def read(self) -> str:
        self.calls += 1
        if self.error:
            raise self.error
        return "row"

    def write(self) -> int:
        return threading.get_ident()

    def ping(self) -> str:
        return "18.6"


def state_of(guard: Guard) -> str:
    """Asked each time: it changes by the clock alone."""
    return guard.state


def fail(guard: Guard, store: Store, error: Exception, times: int) -> None:
    store.error = error
    for _ in range(times):
        with pytest.raises(type(error)):
            guard.call(store.read)
    store.error = None


def test_a_breaker_opens_after_failures_in_a_row_and_calls_no_more(make_guard: Callable[..., Guard]) -> None:
    guard, store = make_guard(), Store()
    fail(guard, store, DOWN, 2)
    guard.call(store.read)
    fail(guard, store, DOWN, 2)
    assert state_of(guard) == "closed", "a success in between starts the count again"
    fail(guard, store, DOWN, 1)
    assert state_of(guard) == "open"
    calls = store.calls
    with pytest.raises(CircuitOpen, match="store failed several times") as raised:
        guard.call(store.read)
    assert store.calls == calls
    assert 0 < raised.value.retry_after_s <= 5


@pytest.mark.parametrize("error", [None, DOWN])
def test_a_call_that_ends_just_after_its_time_gives_its_own_result(
    make_guard: Callable[..., Guard], monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    class Late(Future[str]):
        """Ends after the wait for its result, before the question whether it has ended."""

        def done(self) -> bool:
            if not super().done():
                self.set_exception(error) if error else self.set_result("row")
            return super().done()

    guard = make_guard(timeout_s=0.01, failures=1)
    monkeypatch.setattr(guard, "_submitted", lambda _: Late())
    if error is None:
        assert guard.call(lambda: "row") == "row"
        assert state_of(guard) == "closed"
    else:
        with pytest.raises(Unavailable, match="connection refused"):
            guard.call(lambda: "row")
        assert state_of(guard) == "open"


def test_a_write_that_fails_is_observed(clock: Clock) -> None:
    seen: list[tuple[str, bool]] = []
    guard, store = Guard("store", LIMITS, lambda name, _, failed: seen.append((name, failed))), Store()
    guard.call_inline(store.read)
    store.error = DOWN
    with pytest.raises(Unavailable):
        guard.call_inline(store.read)
    guard.close()
    assert seen == [("store", True)]


def test_one_trial_closes_it_by_itself(make_guard: Callable[..., Guard], clock: Clock) -> None:
    guard, store = make_guard(), Store()
    fail(guard, store, DOWN, 3)
    clock.now_s += 4.9
    assert state_of(guard) == "open"
    clock.now_s += 0.2
    assert state_of(guard) == "half-open"
    assert guard.call(store.read) == "row"
    assert state_of(guard) == "closed"


def test_a_trial_that_fails_opens_it_for_another_pause(make_guard: Callable[..., Guard], clock: Clock) -> None:
    guard, store = make_guard(), Store()
    fail(guard, store, DOWN, 3)
    clock.now_s += 5.1
    fail(guard, store, DOWN, 1)
    assert state_of(guard) == "open"
    clock.now_s += 5.1
    assert guard.call(store.read) == "row"


def test_during_a_trial_other_calls_fail_at_once(make_guard: Callable[..., Guard], clock: Clock) -> None:
    guard, store = make_guard(), Store()
    fail(guard, store, DOWN, 3)
    clock.now_s += 5.1
    entered, release = threading.Event(), threading.Event()

    def trial() -> str:
        entered.set()
        release.wait(30)
        return "row"

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(guard.call, trial)
        assert entered.wait(30)
        with pytest.raises(CircuitOpen):
            guard.call(store.read)
        release.set()
        assert first.result(30) == "row"
    assert state_of(guard) == "closed"


@pytest.mark.parametrize("error", [BadRequest("no"), Terminal("no"), Lost("store", "its collection"), ValueError("?")])
def test_an_answer_that_is_an_error_is_no_failure(make_guard: Callable[..., Guard], error: Exception) -> None:
    guard, store = make_guard(), Store()
    fail(guard, store, error, 5)
    assert state_of(guard) == "closed"


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (DOWN, 3),
        (Transient("a deadlock"), 3),
        (Slow("store", "a statement"), 1),
        (Lost("store", "its collection"), 1),
        (BadRequest("no"), 1),
    ],
)
def test_only_what_may_succeed_in_time_is_repeated(
    make_guard: Callable[..., Guard], error: Exception, calls: int
) -> None:
    guard, store = make_guard(attempts=3, failures=9), Store()
    fail(guard, store, error, 1)
    assert store.calls == calls


def test_a_call_that_hangs_is_left_and_counts(make_guard: Callable[..., Guard]) -> None:
    guard, release = make_guard(timeout_s=0.05, failures=1), threading.Event()
    with pytest.raises(Slow, match="no answer within"):
        guard.call(release.wait, 30)
    assert state_of(guard) == "open"
    release.set()


def test_hung_calls_hold_only_the_guards_own_slots(make_guard: Callable[..., Guard]) -> None:
    """What waits beyond them is no failure of the store; a slot is free when its call ends, though its caller left."""
    guard, store, release = make_guard(timeout_s=0.05, failures=9), Store(), threading.Event()
    for _ in range(2):
        with pytest.raises(Slow, match="no answer"):
            guard.call(release.wait, 30)
    with pytest.raises(Slow, match="all of its 2 concurrent calls are in use"):
        guard.call(store.read)
    assert store.calls == 0
    release.set()

    def works() -> bool:
        try:
            return guard.call(store.read) == "row"
        except Slow:
            return False

    wait_until(works, "no slot was free again", 30)


def test_a_call_gets_its_share_of_the_callers_budget(make_guard: Callable[..., Guard]) -> None:
    guard, release = make_guard(timeout_s=60.0, share=0.1), threading.Event()
    with deadline.within(1.0), pytest.raises(Slow, match=r"no answer within 0\.1"):
        guard.call(release.wait, 30)
    release.set()


def test_a_budget_that_is_used_up_still_leaves_a_moment_for_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    assert deadline.limited_s(5.0, 0.4) == 5.0, "without a budget"
    assert not deadline.is_over()
    with deadline.within(2.0):
        assert deadline.limited_s(5.0, 0.4) == pytest.approx(0.8)
        assert not deadline.is_over()
    with deadline.within(0.0):
        assert deadline.is_over()
        assert deadline.limited_s(5.0, 0.4) == 0.0, "no share of nothing"
    with deadline.within(10.0):
        later = SimpleNamespace(monotonic=lambda: time.monotonic() + 9.9)
        monkeypatch.setattr(deadline, "time", later)
        assert deadline.limited_s(5.0, 0.4) == deadline.LEAST_S


def test_a_guarded_port_keeps_writes_in_the_callers_thread_and_pings_unguarded(
    make_guard: Callable[..., Guard],
) -> None:
    guard, store = make_guard(), Store()
    port = guarded(store, guard, writes={"write"})
    assert port.read() == "row"
    assert port.write() == threading.get_ident()
    fail(guard, store, DOWN, 3)
    with pytest.raises(CircuitOpen):
        port.read()
    with pytest.raises(CircuitOpen):
        port.write()
    assert port.ping() == "18.6"
    assert guarded(store, guard, writes=None).calls == store.calls, "what is not a method is as it was"


def test_writes_that_fail_open_the_breaker_and_those_that_succeed_do_not_close_it(
    make_guard: Callable[..., Guard], clock: Clock
) -> None:
    guard, store = make_guard(), Store()
    store.error = DOWN
    for _ in range(3):
        with pytest.raises(Unavailable):
            guard.call_inline(store.read)
    assert state_of(guard) == "open"
    clock.now_s += 5.1
    store.error = None
    assert guard.call_inline(store.read) == "row"
    assert state_of(guard) == "half-open"


def is_open_to_a_trial(guard: Guard, store: Store) -> bool:
    try:
        return guard.call(store.read) == "row"
    except CircuitOpen:
        return False


def left_trial(guard: Guard, entered: Callable[[], object]) -> None:
    """A trial whose caller has a tenth of a second only."""
    with deadline.within(0.1), pytest.raises(Slow, match="no answer within"):
        guard.call(entered)


def test_a_trial_that_its_caller_has_left_goes_on_and_then_the_next_call_is_tried(
    make_guard: Callable[..., Guard], clock: Clock
) -> None:
    """As of a store that has just started: its first answer takes longer than a caller waits."""
    guard, store, release = make_guard(), Store(), threading.Event()
    fail(guard, store, DOWN, 3)
    clock.now_s += 5.1
    left_trial(guard, lambda: release.wait(30))
    assert state_of(guard) == "half-open"
    calls = store.calls
    assert not is_open_to_a_trial(guard, store)
    assert store.calls == calls, "nobody waits for the store in the meantime"
    release.set()
    wait_until(lambda: is_open_to_a_trial(guard, store), "no call was tried after the late answer", 30)
    assert state_of(guard) == "closed"


def test_a_late_answer_alone_closes_nothing_and_a_late_failure_opens(
    make_guard: Callable[..., Guard], clock: Clock
) -> None:
    guard, store, release = make_guard(), Store(), threading.Event()

    def late_failure() -> None:
        release.wait(30)
        raise DOWN

    fail(guard, store, DOWN, 3)
    clock.now_s += 5.1
    left_trial(guard, lambda: time.sleep(0.2))
    wait_until(lambda: guard._trial_ends_s == 0, "the trial did not end", 30)
    assert state_of(guard) == "half-open"
    left_trial(guard, late_failure)
    release.set()
    wait_until(lambda: state_of(guard) == "open", "the late failure did not count", 30)


def test_a_trial_that_hangs_for_ever_is_followed_by_another(make_guard: Callable[..., Guard], clock: Clock) -> None:
    guard, store, release = make_guard(timeout_s=0.3), Store(), threading.Event()
    fail(guard, store, DOWN, 3)
    clock.now_s += 5.1
    left_trial(guard, lambda: release.wait(30))
    wait_until(lambda: is_open_to_a_trial(guard, store), "no other call was tried", 30)
    assert state_of(guard) == "closed"
    release.set()


def test_an_outage_is_logged_when_it_begins_and_when_it_ends(
    make_guard: Callable[..., Guard], clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    guard, store = make_guard(), Store()
    with caplog.at_level("INFO", "sluice"):
        fail(guard, store, DOWN, 3)
        for _ in range(3):
            with pytest.raises(CircuitOpen):
                guard.call(store.read)
            clock.now_s += 5.1
            fail(guard, store, DOWN, 1)
        clock.now_s += 5.1
        guard.call(store.read)
    lines = [(each.levelname, each.getMessage().partition(":")[0]) for each in caplog.records]
    assert lines == [("INFO", "call failed")] * 2 + [("WARNING", "breaker open"), ("WARNING", "breaker closed")]


def test_a_known_index_key_needs_no_call_of_the_guard(make_guard: Callable[..., Guard]) -> None:
    guard, asked = make_guard(), list[str]()

    def index_key(tenant: str) -> bytes:
        asked.append(tenant)
        return tenant.encode()

    keyring: Any = SimpleNamespace(index_key=index_key, get=Store().read, ping=lambda: "18.6")
    port = guarded_keyring(keyring, guard)
    assert [port.index_key(each) for each in ("acme", "acme", "other")] == [b"acme", b"acme", b"other"]
    assert asked == ["acme", "other"]
    store = Store()
    fail(guard, store, DOWN, 3)
    with pytest.raises(CircuitOpen):
        port.get([])
    assert port.ping() == "18.6"
