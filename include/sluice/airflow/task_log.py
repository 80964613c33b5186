"""Shortens Sluice's own errors to one line in a task's log. Unexpected errors keep their traceback.

Airflow logs the exception of a task with a traceback of some twenty frames, which adds nothing to Sluice's messages.
The processor below is the first in structlog's chain in the task's process, from the start of the task. The exception
is not changed: the retry policy, callbacks and listeners see it. If Airflow logs at DEBUG, the traceback stays.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

_TASK_FAILED = "Task failed with exception"  # Airflow's text; the error's message replaces it


def shorten_sluice_errors() -> None:
    """Adds the processor to structlog's chain. Safe to repeat. The chain is changed in place, because loggers that are
    bound already share it; if it is no list, tracebacks stay as Airflow logs them."""
    import structlog

    chain = structlog.get_config()["processors"]
    if isinstance(chain, list) and one_line not in chain:
        chain.insert(0, one_line)


def one_line(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor of structlog: replaces the traceback of a SluiceError by its message."""
    from sluice.errors import SluiceError

    given = event.get("exc_info")
    error = given[1] if isinstance(given, tuple) else sys.exc_info()[1] if given is True else given
    if isinstance(error, SluiceError) and not logging.getLogger(__name__).isEnabledFor(logging.DEBUG):
        del event["exc_info"]
        during = "" if event.get("event") == _TASK_FAILED else f", {event.get('event')}"
        event["event"] = f"sluice: {error} ({type(error).__name__}{during})"
    return event
