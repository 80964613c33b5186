"""The three gates: after extraction, chunking and embedding. What fails a blocking check is kept out, document by
document; the rest is reported."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar
from uuid import UUID

from sluice.model.chunk import ChunkedDocument, EmbeddedDocument
from sluice.model.document import Document
from sluice.model.gates import GateResult, GateRow, Signature
from sluice.model.metadata import FLAGS
from sluice.model.quarantine import QuarantineEntry
from sluice.quality.chunk_features import Place, chunk_features
from sluice.quality.detectors import SCREENS, Screened, screen
from sluice.quality.document_features import features
from sluice.quality.duplicates import Found
from sluice.quality.expectations import Outcome
from sluice.quality.findings import masked
from sluice.quality.judging import judge, ready
from sluice.quality.rules import Rules, with_rules
from sluice.quality.suites import Check
from sluice.quality.vector_features import vector_features

T = TypeVar("T")
_OF_VECTORS = frozenset({"wrong_dimension", "wrong_length", "constant_vector", "shared_vector", "same_vector"})
_FLAGGING = SCREENS | {"mojibake"}


@dataclass(frozen=True, slots=True)
class Verdict(Generic[T]):
    passed: list[T]  # in the order given
    failures: list[QuarantineEntry]  # one a document: the first blocking check that it failed
    results: list[GateResult]  # one a check, in the suite's order
    rows: list[GateRow]  # one a check and row that failed it, check by check
    seconds: float  # all of it, the import too
    import_seconds: float  # 0 once the process has imported Great Expectations
    signatures: list[Signature] = field(default_factory=list)  # of the documents that passed


@dataclass(frozen=True, slots=True)
class Judged:
    failed: dict[int, Check]  # by number of the document: the first blocking check
    flagged: dict[int, list[Check]]  # by number of the document: the others that it failed
    results: list[GateResult]
    rows: list[GateRow]
    import_seconds: float


def documents_gate(
    documents: Sequence[Document],
    rules: Rules | None = None,
    *,
    index_key: bytes,
    collection_id: UUID,
    similar: Found = lambda bands: (),
    on_screened: Callable[[float], None] = lambda documents: None,
) -> Verdict[Document]:
    """Judge documents by the suite `documents`, as the collection's rules want it.

    A check with action mask replaces what it found by placeholders, so that offsets, here and from now on, are those
    of the masked text. What a document is flagged for is in its metadata, under `gate_flags`. `similar`: signatures
    that the ledger knows of. `on_screened` is told how many documents more are done, in fractions. Raises BadRequest on
    a rule that does not fit, Terminal where Great Expectations itself fails (then nothing is let through).
    """
    started_s = time.perf_counter()
    checks = with_rules("documents", rules or {})
    if not documents:
        return Verdict([], [], [], [], time.perf_counter() - started_s, 0.0)
    seen = screen(documents, checks, index_key, collection_id, similar, on_screened)
    places: list[Place] = [(number, None) for number in range(len(documents))]
    columns = {**features(documents), **seen.columns}
    judged = _judged("documents", checks, columns, places, documents, seen.details)
    passed = [
        _marked(document, number, judged.flagged.get(number, []), seen)
        for number, document in enumerate(documents)
        if number not in judged.failed
    ]
    return Verdict(
        passed,
        _failures(judged, documents, "validate"),
        judged.results,
        judged.rows,
        time.perf_counter() - started_s,
        judged.import_seconds,
        [found for each in passed if (found := seen.signatures.get(each.document_id))],
    )


def chunks_gate(
    documents: Sequence[ChunkedDocument], size_shares: Sequence[float], rules: Rules | None = None
) -> Verdict[ChunkedDocument]:
    """Judge chunks by the suite `chunks`; one that fails a blocking check keeps its whole document out.

    `size_shares`: of each chunk, in order, its size divided by what the chunker allows. Raises as `documents_gate`.
    """
    columns, places = chunk_features(documents, size_shares)
    return _gate("chunks", "chunk", documents, columns, places, rules)


def vectors_gate(
    documents: Sequence[EmbeddedDocument], dim: int, rules: Rules | None = None
) -> Verdict[EmbeddedDocument]:
    """Judge vectors by the suite `vectors`; one that fails a blocking check keeps its whole document out, until the
    next run: vectors are the embedder's doing. Raises as `documents_gate`."""
    columns, places = vector_features(documents, dim)
    verdict = _gate("vectors", "embed", documents, columns, places, rules)
    return replace(verdict, failures=[replace(each, retry=True) for each in verdict.failures])


def suspect_vectors(verdict: Verdict[EmbeddedDocument], documents: Sequence[EmbeddedDocument]) -> list[bytes]:
    """Text hashes of the vectors for which the gate kept documents out."""
    failed = {failure.item.document_id for failure in verdict.failures}
    rows = {
        (row.document_id, row.ordinal) for row in verdict.rows if row.document_id in failed and row.code in _OF_VECTORS
    }
    return [
        each.chunk.text_hash
        for document in documents
        for ordinal, each in enumerate(document.chunks)
        if (document.document.document_id, ordinal) in rows
    ]


# --- details ------------------------------------------------------------------------------------------------

C = TypeVar("C", ChunkedDocument, EmbeddedDocument)


def _gate(
    suite: str,
    stage: str,
    documents: Sequence[C],
    columns: Mapping[str, Sequence[Any]],
    places: Sequence[Place],
    rules: Rules | None,
) -> Verdict[C]:
    started_s = time.perf_counter()
    checks = with_rules(suite, rules or {})
    if not places:  # no document, or none with a chunk
        return Verdict(list(documents), [], [], [], time.perf_counter() - started_s, 0.0)
    of = [each.document for each in documents]
    judged = _judged(suite, checks, columns, places, of, {})
    return Verdict(
        [each for number, each in enumerate(documents) if number not in judged.failed],
        _failures(judged, of, stage),
        judged.results,
        judged.rows,
        time.perf_counter() - started_s,
        judged.import_seconds,
    )


def _judged(
    suite: str,
    checks: Sequence[Check],
    columns: Mapping[str, Sequence[Any]],
    places: Sequence[Place],
    documents: Sequence[Document],
    details: Mapping[str, Sequence[Any]],
) -> Judged:
    """`details`: by code of a check, what its rows record in place of the number that was judged."""
    import_seconds = ready()
    judged = Judged({}, {}, [], [], import_seconds)
    for check, outcome in zip(checks, judge(suite, checks, columns), strict=True):
        judged.results.append(_result(suite, check, outcome))
        told = details.get(check.code)
        for row, value in zip(outcome.rows, outcome.values, strict=True):
            number, ordinal = places[row]
            if check.blocking:
                judged.failed.setdefault(number, check)
            else:
                judged.flagged.setdefault(number, []).append(check)
            judged.rows.append(
                GateRow(
                    documents[number].document_id,
                    ordinal,
                    suite,
                    check.code,
                    check.expectation,
                    told[row] if told else value,
                )
            )
    return judged


def _result(suite: str, check: Check, outcome: Outcome) -> GateResult:
    return GateResult(
        suite=suite,
        expectation=check.expectation,
        column=check.column,
        success=not outcome.rows,
        blocking=check.blocking,
        evaluated=outcome.evaluated,
        unexpected=len(outcome.rows),
        observed={"code": check.code, "action": check.action, "limit": check.limit, "worst": outcome.worst},
    )


def _failures(judged: Judged, documents: Sequence[Document], stage: str) -> list[QuarantineEntry]:
    return [
        QuarantineEntry(
            documents[number].item,
            stage,
            check.code,
            check.reason.format(limit=_whole(check.limit)),
            raw_hash=documents[number].raw_hash,
        )
        for number, check in sorted(judged.failed.items())
    ]


def _marked(document: Document, number: int, flagged: Sequence[Check], seen: Screened) -> Document:
    """With placeholders where a check masks, and with the flags in its metadata."""
    if found := [seen.findings[check.code][number] for check in flagged if check.action == "mask"]:
        document = masked(document, found)
    flags = [check.code for check in flagged if check.code in _FLAGGING]
    metadata = {key: value for key, value in document.metadata.items() if key != FLAGS}  # a source may not set it
    return replace(document, metadata={**metadata, FLAGS: flags} if flags else metadata)


def _whole(limit: float | None) -> float | None:
    """2000.0, which a rule may have set, is 2,000 in words."""
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit
