"""Moves in the ledger in memory, with the rules of the one on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

from sluice.adapters.postgres.rules import paired
from sluice.model.run import Run
from sluice.model.scan import Entry
from sluice.testing.state import DocumentRow, MemoryState, MoveRow, VersionRow

Match = tuple[float, str, str, UUID, UUID]


def tell(state: MemoryState, run: Run, known: dict[str, DocumentRow], listed: Mapping[str, Entry]) -> None:
    """What the source says was renamed. `known` (by name) is brought up to date."""
    for name, former in told(known, listed).items():
        document = known.pop(former)
        known[name] = document
        _rename(state, run, document, name, listed[name].uri)
        state.runs[run.run_id].moves[document.document_id] = MoveRow(document.document_id, None, former, name, "source")


def told(known: Mapping[str, DocumentRow], listed: Mapping[str, Entry]) -> dict[str, str]:
    """New name → the name before, one to one; the first that names it counts."""
    first: dict[str, str] = {}
    for name, entry in listed.items():
        if entry.former is not None and name not in known:
            first.setdefault(entry.former, name)
    return {name: former for former, name in first.items() if former in known and former not in listed}


def adopt_same(state: MemoryState, run: Run, hashes: Mapping[UUID, bytes], superseded: set[UUID]) -> dict[UUID, UUID]:
    def matches(placeholder: DocumentRow) -> list[Match]:
        held = [(document, version.sealed.raw_hash) for document, version in _free(state, run)]
        return [
            (1.0, placeholder.external_id, document.external_id, placeholder.document_id, document.document_id)
            for document, raw_hash in (*held, *_gone(state, run))
            if raw_hash == hashes[placeholder.document_id]
        ]

    return _adopt(state, run, list(hashes), superseded, matches, "content")


def missed(state: MemoryState, run: Run, limit: int) -> list[tuple[UUID, bytes]]:
    return [(document.document_id, version.sealed.sealed_text) for document, version in _free(state, run)][:limit]


def adopt_similar(
    state: MemoryState, run: Run, scores: Mapping[UUID, Mapping[UUID, float]], superseded: set[UUID]
) -> dict[UUID, UUID]:
    def matches(placeholder: DocumentRow) -> list[Match]:
        likeness = scores[placeholder.document_id]
        return [
            (
                likeness[each.document_id],
                placeholder.external_id,
                each.external_id,
                placeholder.document_id,
                each.document_id,
            )
            for each, _ in _free(state, run)
            if each.document_id in likeness
        ]

    return _adopt(state, run, list(scores), superseded, matches, "similarity")


def _adopt(
    state: MemoryState,
    run: Run,
    ids: list[UUID],
    superseded: set[UUID],
    matches: Callable[[DocumentRow], list[Match]],
    how: str,
) -> dict[UUID, UUID]:
    row = state.runs[run.run_id]
    known = {each.placeholder_id: each.document_id for each in row.moves.values() if each.placeholder_id in set(ids)}
    wanted = [each for each in ids if each not in known and each not in superseded]
    bare = [state.documents[each] for each in wanted if _bare(state, run, each)]
    pairs = paired(match for placeholder in bare for match in matches(placeholder))
    for placeholder_id, document_id in pairs.items():
        placeholder, document = state.documents.pop(placeholder_id), state.documents[document_id]
        row.moves[document_id] = MoveRow(
            document_id, placeholder_id, document.external_id, placeholder.external_id, how
        )
        row.vanished.discard(document_id)
        _rename(state, run, document, placeholder.external_id, placeholder.uri)
    return {each: document_id for each, document_id in known.items() if each} | pairs


def _free(state: MemoryState, run: Run) -> list[tuple[DocumentRow, VersionRow]]:
    documents = [state.documents[each] for each in sorted(state.runs[run.run_id].vanished)]
    found = [(each, state.active(each.document_id, run.source.generation)) for each in documents if not each.deleted_at]
    return [(document, version) for document, version in found if version]


def _gone(state: MemoryState, run: Run) -> list[tuple[DocumentRow, bytes | None]]:
    """What was purged has no version, and is found by what is left of it."""
    documents = [state.documents[each] for each in sorted(state.runs[run.run_id].vanished)]
    return [(each, each.purged_hash) for each in documents if each.purged_hash and not each.deleted_at]


def _bare(state: MemoryState, run: Run, document_id: UUID) -> bool:
    document = state.documents.get(document_id)
    return (
        document is not None
        and document.deleted_at is None
        and document.source.source_id == run.source.source_id
        and not state.versions.get(document_id)
        and document_id not in state.quarantine
        and all(each.document_id != document_id for each in state.outbox.values())
    )


def _rename(state: MemoryState, run: Run, document: DocumentRow, name: str, uri: str) -> None:
    document.external_id, document.uri, document.fingerprint = name, uri, None
    state.changed(run.source.generation.collection_id)
