"""Searches whose times, losses and empty results are reported. Nothing of a question or a caller is."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import wraps

from sluice.errors import SluiceError
from sluice.model.grants import Principal
from sluice.model.search import SearchRequest
from sluice.ports.telemetry import Telemetry
from sluice.retrieval.searching import SearchOutcome

log = logging.getLogger(__name__)

Search = Callable[[SearchRequest, Principal], SearchOutcome]


def observed(search: Search, telemetry: Telemetry) -> Search:
    """Returns the search; each call reports its duration and its outcome."""

    @wraps(search)
    def run(request: SearchRequest, principal: Principal) -> SearchOutcome:
        started_s = time.perf_counter()
        try:
            outcome = search(request, principal)
        except SluiceError as error:
            telemetry.count(f"search.errors.{type(error).__name__}")
            raise
        telemetry.timing("search.time", (time.perf_counter() - started_s) * 1000)
        _report(outcome, telemetry)
        return outcome

    return run


def _report(outcome: SearchOutcome, telemetry: Telemetry) -> None:
    telemetry.count("search.served")
    if outcome.cached:
        telemetry.count("search.cached")
    if not outcome.passages:
        telemetry.count("search.empty")
    elif outcome.nothing_relevant:
        telemetry.count("search.nothing_relevant")
    for word in outcome.degraded:
        telemetry.count(f"search.degraded.{word}")
    if not outcome.cached:
        for stage, number in outcome.candidates.items():
            telemetry.count(f"search.candidates.{stage}", number)
