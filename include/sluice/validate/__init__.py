"""The gate on documents: Great Expectations decides which go on, row by row. Its only importer.

Great Expectations sees numbers that describe a text, never the text, so nothing readable can end up in its results.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sluice.model import Document, Failure, GateResult
from sluice.validate.features import features
from sluice.validate.suite import DOCUMENTS, SUITE_NAME, Check, with_overrides

__all__ = ["DOCUMENTS", "SUITE_NAME", "Check", "Verdict", "documents_gate"]


@dataclass(frozen=True, slots=True)
class Verdict:
    passed: list[Document]  # in the order given
    failures: list[Failure]  # one a document: the first blocking check that it failed
    results: list[GateResult]  # one a check, in the suite's order
    seconds: float  # all of it, the import too
    import_seconds: float  # 0 once the process has imported Great Expectations


def documents_gate(documents: Sequence[Document], overrides: Mapping[str, Any] | None = None) -> Verdict:
    """Judge documents by the suite; failing a blocking check means quarantine, other checks only report.

    `overrides`: limit by check code, None to leave a check out; e.g. {"too_long": 200_000}. Raises BadRequest on an
    unknown code, Terminal where Great Expectations itself fails (then nothing is let through).
    """
    started_s = time.perf_counter()
    checks = with_overrides(overrides or {})
    if not documents:
        return Verdict([], [], [], time.perf_counter() - started_s, 0.0)
    from sluice.validate.expectations import judge, ready

    import_seconds = ready()
    judged = judge(checks, features(documents))
    failed: dict[int, Check] = {}
    for check, outcome in zip(checks, judged, strict=True):
        if check.blocking:
            for row in outcome.rows:
                failed.setdefault(row, check)
    return Verdict(
        [document for row, document in enumerate(documents) if row not in failed],
        [
            Failure(documents[row].item, "validate", check.code, check.reason.format(limit=check.limit))
            for row, check in sorted(failed.items())
        ],
        [
            GateResult(
                suite=SUITE_NAME,
                expectation=check.expectation,
                column=check.column,
                success=not outcome.rows,
                blocking=check.blocking,
                evaluated=outcome.evaluated,
                unexpected=len(outcome.rows),
                observed={"code": check.code, "limit": check.limit, "worst": outcome.worst},
            )
            for check, outcome in zip(checks, judged, strict=True)
        ],
        time.perf_counter() - started_s,
        import_seconds,
    )
