"""Forwards lineage events from the ledger to Marquez, in one thread of the API server.

Events are sent one at a time in their order, because Marquez takes the last processed event as a run's state. While
Marquez is down or does not answer, no event is skipped: the thread retries the same event with growing delays (up to a
minute). An event that Marquez rejects is parked with the reason. A crash after sending and before marking the events as
sent sends one batch again, which changes nothing in Marquez.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sluice.adapters.marquez import UnprocessableEvent
from sluice.errors import SluiceError, Terminal

if TYPE_CHECKING:
    from sluice.adapters.postgres.lineage import PostgresLineage, Unsent
    from sluice.settings import Settings

log = logging.getLogger(__name__)

BATCH = 100
IDLE_S = 2.0
MAX_DELAY_S = 60.0
PRUNE_EVERY_S = 600.0
MAX_ATTEMPTS = 5  # answers of 500 to one event; after these the event counts as the cause and is parked

Send = Callable[[dict[str, Any]], None]
"""Sends one event. Raises Terminal if Marquez rejects it, Unavailable if Marquez does not answer."""


def forward(events: PostgresLineage, send: Send) -> int:
    """Sends waiting events, at most BATCH. Returns how many were sent or parked; 0: none wait, or another process is
    forwarding. Raises Unavailable; events that were sent before the error are marked as sent."""
    with events.forwarding() as mine:
        waiting = events.unsent(BATCH) if mine else []
        done: list[int] = []
        try:
            for event in waiting:
                if _deliver(events, send, event):
                    done.append(event.event_id)
        finally:
            if done:
                events.sent(done)
        return len(waiting)


def _deliver(events: PostgresLineage, send: Send, event: Unsent) -> bool:
    try:
        send(event.body)
        return True
    except Terminal as error:
        events.park(event.event_id, str(error))
        rejected = "sluice: Marquez rejected lineage event %d; it stays in the ledger, not sent again: %s"
        log.warning(rejected, event.event_id, error)
        return False
    except UnprocessableEvent as error:
        if event.attempts + 1 >= MAX_ATTEMPTS:
            events.park(event.event_id, f"Marquez failed on it {MAX_ATTEMPTS} times: {error}")
            return False
        events.failed(event.event_id)
        raise


def keep_forwarding(
    events: PostgresLineage, send: Send | None, days: int, stop: threading.Event, idle_s: float = IDLE_S
) -> None:
    """Forwards events until `stop` is set. `send` None: there is no Marquez, events stay in the ledger only. `days`:
    older events are deleted."""
    delay_s, pruned_at = 0.0, datetime.min.replace(tzinfo=UTC)
    while not stop.wait(delay_s):
        try:
            if (now := datetime.now(UTC)) - pruned_at > timedelta(seconds=PRUNE_EVERY_S):
                events.prune(now - timedelta(days=days))
                pruned_at = now
            moved = forward(events, send) if send else 0
            delay_s = 0.0 if moved == BATCH else idle_s
        except SluiceError as error:
            delay_s = min(max(idle_s, delay_s * 2), MAX_DELAY_S)
            log.warning("sluice: lineage events wait in the ledger, next try in %.0f s: %s", delay_s, error)
        except Exception:
            delay_s = MAX_DELAY_S
            log.exception("sluice: lineage events wait in the ledger, next try in %.0f s", delay_s)


def start(settings: Callable[[], Settings]) -> threading.Thread:
    """Starts the thread and returns it. It is a daemon: it ends with its process."""
    thread = threading.Thread(target=_main, args=(settings,), name="sluice-lineage", daemon=True)
    thread.start()
    return thread


def _main(settings: Callable[[], Settings]) -> None:
    from sluice.adapters import marquez
    from sluice.wiring.clients import lineage_events

    try:
        loaded = settings()
        events = lineage_events(loaded, timeout_s=loaded.call_timeout_s)
    except Exception as error:
        log.error("sluice: lineage stays in the ledger and is not forwarded; correct the error and restart: %s", error)
        return
    send = marquez.sender(loaded.marquez_url) if loaded.marquez_url else None
    keep_forwarding(events, send, loaded.lineage_days, threading.Event())
