"""Great Expectations, imported on first use (4-20 s) and kept for the life of the process. Its only importer."""

from __future__ import annotations

import gc
import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any

from sluice.errors import Terminal
from sluice.quality.checks import Check

_ROW = "row"
_lock = Lock()
_ready = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of one check: the number of values, the rows that failed with their values (None if a value has no
    meaning), and the failing value farthest from the limit."""

    evaluated: int
    rows: tuple[int, ...]
    worst: float | None
    values: tuple[float | None, ...] = ()  # in the order of `rows`


def ready() -> float:
    """Imports and sets up Great Expectations, once a process. Returns the seconds that this call waited for it."""
    global _ready
    started_s = time.perf_counter()
    with _lock:
        if _ready:
            return 0.0
        _batch_definition()
        _ready = True
    return time.perf_counter() - started_s


def evaluate(suite: str, checks: Sequence[Check], columns: Mapping[str, Sequence[Any]]) -> list[Outcome]:
    """Returns one outcome for each check, in order. Raises Terminal if an expectation could not be evaluated.

    `columns` have equal length. None is ignored, except by expectations that a value exists. There are two passes,
    because returning rows doubles the time: first all checks without rows, then the failed ones with rows.
    """
    import pandas as pd

    frame = pd.DataFrame({**columns, _ROW: range(len(next(iter(columns.values()))))})
    evaluated = {check.code: _evaluated(check, frame) for check in checks}
    checked = [check for check in checks if evaluated[check.code]]
    failed = [
        check
        for check, result in zip(checked, _validate(suite, checked, frame, "BOOLEAN_ONLY"), strict=True)
        if not result.success
    ]
    in_full = {
        "result_format": "COMPLETE",
        "unexpected_index_column_names": [_ROW],
        "return_unexpected_index_query": False,
    }
    results = dict(zip((check.code for check in failed), _validate(suite, failed, frame, in_full), strict=True))
    return [
        _outcome(check, results[check.code], evaluated[check.code])
        if check.code in results
        else Outcome(evaluated[check.code], (), None)
        for check in checks
    ]


def _evaluated(check: Check, frame: Any) -> int:
    """Counts the values of the check's column. Raises Terminal with its name if it is missing."""
    if check.column not in frame:
        raise _broken(check, f"there is no column {check.column}")
    return len(frame) if check.expectation.endswith("not_be_null") else int(frame[check.column].count())


def _validate(suite: str, checks: Sequence[Check], frame: Any, result_format: str | dict[str, Any]) -> list[Any]:
    """Returns Great Expectations' results in the order of the checks."""
    if not checks:
        return []
    gx = imported()
    expectations = [
        getattr(gx.expectations, _class_name(check.expectation))(
            column=check.column, meta={"code": check.code}, **({check.bound: check.limit} if check.bound else {})
        )
        for check in checks
    ]
    expected = gx.ExpectationSuite(name=suite, expectations=expectations)
    with _lock:  # its context is not thread-safe
        batch = _batch_definition().get_batch(batch_parameters={"dataframe": frame})
        result = batch.validate(expected, result_format=result_format)
    by_code = {each.expectation_config.meta["code"]: each for each in result.results}
    return [by_code[check.code] for check in checks]


def _outcome(check: Check, result: Any, evaluated: int) -> Outcome:
    counts = result.result
    if "element_count" not in counts or not counts.get("unexpected_index_list"):
        raise _broken(check, result.exception_info)
    failed = sorted(counts["unexpected_index_list"], key=lambda row: int(row[_ROW]))
    values = [float(row[check.column]) if check.bound else None for row in failed]
    numbers = [value for value in values if value is not None]
    worst = (min(numbers) if check.bound == "min_value" else max(numbers)) if numbers else None
    return Outcome(evaluated, tuple(int(row[_ROW]) for row in failed), worst, tuple(values))


def _broken(check: Check, why: object) -> Terminal:
    return Terminal(
        f"Great Expectations could not evaluate {check.expectation} ({check.code}): {why}. No document of this batch "
        "passed; the output of the previous stage is kept. Check its version against requirements.txt."
    )


def _class_name(expectation: str) -> str:
    return "".join(word.capitalize() for word in expectation.split("_"))


def imported() -> Any:
    """Imports the library, with telemetry and its report of registered functions switched off.

    The import creates about 400,000 objects that live as long as the process. Garbage collection of them takes a fifth
    of the import and half a second of a later stage, so they are excluded from it (`gc.freeze`)."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    if "great_expectations" in sys.modules:
        return sys.modules["great_expectations"]
    gc.disable()
    try:
        import great_expectations
    finally:
        gc.freeze()
        gc.enable()
    return great_expectations


@cache
def _batch_definition() -> Any:
    gx = imported()
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("batch").add_dataframe_asset("rows")
    return asset.add_batch_definition_whole_dataframe("all")
