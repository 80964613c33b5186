"""The three gates: after extraction, chunking and embedding. A document that fails a blocking check is quarantined;
other failures are reported."""

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
from sluice.quality.checks import Check
from sluice.quality.chunk_features import Place, chunk_features
from sluice.quality.detectors import DETECTORS, DetectorResults, detect
from sluice.quality.document_features import features
from sluice.quality.duplicates import FindSimilar
from sluice.quality.evaluation import evaluate, ready
from sluice.quality.expectations import Outcome
from sluice.quality.findings import masked
from sluice.quality.gate_rules import Rules, with_rules
from sluice.quality.vector_features import vector_features

T = TypeVar("T")
_OF_VECTORS = frozenset({"wrong_dimension", "wrong_length", "constant_vector", "shared_vector", "same_vector"})
_FLAGGING = DETECTORS | {"mojibake"}


@dataclass(frozen=True, slots=True)
class Verdict(Generic[T]):
    passed: list[T]  # in the order given
    failures: list[QuarantineEntry]  # one for each quarantined document: the first blocking check that it failed
    results: list[GateResult]  # one for each check, in the suite's order
    rows: list[GateRow]  # one for each check and row that failed it, check by check
    seconds: float  # of the whole gate, including the import
    import_seconds: float  # 0 if Great Expectations was imported before
    signatures: list[Signature] = field(default_factory=list)  # of the documents that passed


@dataclass(frozen=True, slots=True)
class Evaluation:
    failed: dict[int, Check]  # position of the document → the first blocking check that it failed
    flagged: dict[int, list[Check]]  # position of the document → the other checks that it failed
    results: list[GateResult]
    rows: list[GateRow]
    import_seconds: float


def documents_gate(
    documents: Sequence[Document],
    rules: Rules | None = None,
    *,
    index_key: bytes,
    collection_id: UUID,
    similar: FindSimilar = lambda bands: (),
    on_checked: Callable[[float], None] = lambda documents: None,
) -> Verdict[Document]:
    """Validates documents with the suite `documents` and the collection's rules.

    A check with the action mask replaces its findings by placeholders; all later offsets are those of the redacted
    text. The checks that flagged a document are in its metadata, under `gate_flags`. `similar` returns signatures of
    the ledger. `on_checked` gets the number of further documents that are done, in fractions. Raises BadRequest on an
    invalid rule, Terminal if Great Expectations itself fails (then no document passes).
    """
    started_s = time.perf_counter()
    checks = with_rules("documents", rules or {})
    if not documents:
        return Verdict([], [], [], [], time.perf_counter() - started_s, 0.0)
    seen = detect(documents, checks, index_key, collection_id, similar, on_checked)
    places: list[Place] = [(number, None) for number in range(len(documents))]
    columns = {**features(documents), **seen.columns}
    evaluation = _evaluated("documents", checks, columns, places, documents, seen.details)
    passed = [
        _flagged(document, number, evaluation.flagged.get(number, []), seen)
        for number, document in enumerate(documents)
        if number not in evaluation.failed
    ]
    signatures = [signature for each in passed if (signature := seen.signatures.get(each.document_id))]
    return _verdict(passed, evaluation, documents, "validate", started_s, signatures)


def chunks_gate(
    documents: Sequence[ChunkedDocument], size_shares: Sequence[float], rules: Rules | None = None
) -> Verdict[ChunkedDocument]:
    """Validates chunks with the suite `chunks`. A chunk that fails a blocking check quarantines its whole document.

    `size_shares`: for each chunk, in order, its size divided by the chunker's limit. Raises as `documents_gate`.
    """
    columns, places = chunk_features(documents, size_shares)
    return _gate("chunks", "chunk", documents, columns, places, rules)


def vectors_gate(
    documents: Sequence[EmbeddedDocument], dim: int, rules: Rules | None = None
) -> Verdict[EmbeddedDocument]:
    """Validates vectors with the suite `vectors`. A vector that fails a blocking check quarantines its whole document
    until the next run, because the embedder is the cause. Raises as `documents_gate`."""
    columns, places = vector_features(documents, dim)
    verdict = _gate("vectors", "embed", documents, columns, places, rules)
    return replace(verdict, failures=[replace(each, retry=True) for each in verdict.failures])


def suspect_vectors(verdict: Verdict[EmbeddedDocument], documents: Sequence[EmbeddedDocument]) -> list[bytes]:
    """Returns the text hashes of the vectors for which the gate quarantined documents."""
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
    evaluation = _evaluated(suite, checks, columns, places, of, {})
    passed = [each for number, each in enumerate(documents) if number not in evaluation.failed]
    return _verdict(passed, evaluation, of, stage, started_s)


def _evaluated(
    suite: str,
    checks: Sequence[Check],
    columns: Mapping[str, Sequence[Any]],
    places: Sequence[Place],
    documents: Sequence[Document],
    details: Mapping[str, Sequence[Any]],
) -> Evaluation:
    """`details`: code of a check → the values that its rows record instead of the number that was checked."""
    import_seconds = ready()
    evaluation = Evaluation({}, {}, [], [], import_seconds)
    for check, outcome in zip(checks, evaluate(suite, checks, columns), strict=True):
        evaluation.results.append(_result(suite, check, outcome))
        details_of_check = details.get(check.code)
        for row, value in zip(outcome.rows, outcome.values, strict=True):
            number, ordinal = places[row]
            if check.blocking:
                evaluation.failed.setdefault(number, check)
            else:
                evaluation.flagged.setdefault(number, []).append(check)
            document_id, observed = documents[number].document_id, details_of_check[row] if details_of_check else value
            evaluation.rows.append(GateRow(document_id, ordinal, suite, check.code, check.expectation, observed))
    return evaluation


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


def _verdict(
    passed: list[T],
    evaluation: Evaluation,
    documents: Sequence[Document],
    stage: str,
    started_s: float,
    signatures: Sequence[Signature] = (),
) -> Verdict[T]:
    failures = [
        QuarantineEntry(
            documents[number].item,
            stage,
            check.code,
            check.reason.format(limit=_whole(check.limit)),
            raw_hash=documents[number].raw_hash,
        )
        for number, check in sorted(evaluation.failed.items())
    ]
    seconds = time.perf_counter() - started_s
    return Verdict(
        passed, failures, evaluation.results, evaluation.rows, seconds, evaluation.import_seconds, list(signatures)
    )


def _flagged(document: Document, number: int, flagged: Sequence[Check], seen: DetectorResults) -> Document:
    """Returns the document with placeholders for the findings of masking checks, and with its flags in the metadata."""
    if findings := [seen.findings[check.code][number] for check in flagged if check.action == "mask"]:
        document = masked(document, findings)
    flags = [check.code for check in flagged if check.code in _FLAGGING]
    metadata = {key: value for key, value in document.metadata.items() if key != FLAGS}  # a source may not set it
    return replace(document, metadata={**metadata, FLAGS: flags} if flags else metadata)


def _whole(limit: float | None) -> float | None:
    """Turns 2000.0, which a rule may have set, into 2000, so that texts show 2,000."""
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit
