"""An error of ours is one line of a task's log, its message first; a traceback is for errors that nobody foresaw.

Airflow logs the exception of a task with its traceback, twenty frames of which none says more than the message does.
The processor below stands first in structlog's chain of the task's process, from the time that the task begins. The
exception itself is what it was: the retry policy, callbacks and listeners see it. Where Airflow logs at DEBUG, the
traceback stays.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

_TASK_FAILED = "Task failed with exception"  # as Airflow has it; the message says more


def shorten_own_errors() -> None:
    """Safe to repeat. A logger that is bound already shares the chain, so it is changed in place; where that cannot be
    done, tracebacks stay as Airflow logs them."""
    import structlog

    chain = structlog.get_config()["processors"]
    if isinstance(chain, list) and one_line not in chain:
        chain.insert(0, one_line)


def one_line(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor of structlog."""
    from sluice.errors import SluiceError

    given = event.get("exc_info")
    error = given[1] if isinstance(given, tuple) else sys.exc_info()[1] if given is True else given
    if isinstance(error, SluiceError) and not logging.getLogger(__name__).isEnabledFor(logging.DEBUG):
        del event["exc_info"]
        during = "" if event.get("event") == _TASK_FAILED else f", {event.get('event')}"
        event["event"] = f"sluice: {error} ({type(error).__name__}{during})"
    return event
