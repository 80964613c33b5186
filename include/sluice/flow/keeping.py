"""What quarantine keeps: the bytes of a refused document, sealed, until it is served or gone.

    quarantine/<document_id>.sealed    one sealed value: size of the head (4 bytes), head (JSON), the document's bytes

The bytes are written before the record that counts on them, and go after the record is closed: what a crash leaves is
written over, taken out by the next run of the source, or lies there without a record, for the reconciler.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from sluice.errors import NotFound, Terminal, Unreadable
from sluice.extract.reasons import unreadable
from sluice.flow.listing import reads
from sluice.model import Failure, Item, Raw, Run
from sluice.ports import Tools
from sluice.seal import Cipher, ciphers

_PURPOSE = "quarantine"
_HEAD_BYTES = 4  # big-endian
_AT_ONCE = 500


def path(document_id: UUID) -> str:
    return f"quarantine/{document_id}.sealed"


def reading(tools: Tools, run: Run) -> Callable[[Item], Raw]:
    """How this run comes to a document's bytes: from its source, or a replay from what is kept. What it returns raises
    Unreadable."""
    if run.mode == "replay":
        return lambda item: _kept(tools, run, item)
    return reads(tools.reader(run.source.spec))


def wanted(tools: Tools, run: Run, items: Sequence[Item]) -> Sequence[Item]:
    """A replay that is repeated leaves out what it has served already: its bytes are no longer kept."""
    if run.mode != "replay":
        return items
    return tools.ledger.refused(run, [item.document_id for item in items])


def refuse(tools: Tools, run: Run, failures: Sequence[Failure], raws: Mapping[UUID, Raw] | None = None) -> None:
    """Into quarantine with their bytes: those of `raws` where extraction failed. A gate stands after the bytes were let
    go of, so there they are read once more. What a replay refuses stays kept, whatever the reason is now."""
    if not failures:
        return
    keys = tools.keyring.get([failure.item.document_id for failure in failures])
    own = ciphers(run.source.spec.tenant, keys)
    replayed = run.mode == "replay"
    read = _again(tools, run) if raws is None or replayed else lambda item: raws.get(item.document_id)
    records = []
    for failure in failures:
        raw, cipher = read(failure.item), own.get(failure.item.document_id)
        if raw is not None and cipher is not None:
            tools.blobs.write(path(failure.item.document_id), cipher.encrypt(_PURPOSE, _packed(raw)))
            failure = replace(failure, kept_bytes=len(raw.content))
        records.append(failure)
    tools.ledger.quarantine(run, records)
    for failure in records:
        # What was kept of an earlier failure is not what this one is about.
        if failure.kept_bytes is None and not replayed:
            tools.blobs.remove(path(failure.item.document_id))


def let_go(tools: Tools, source_id: UUID) -> int:
    """Remove what is kept of documents that were served or removed since; returns how many. Safe to repeat."""
    gone = 0
    while document_ids := tools.ledger.released(source_id, _AT_ONCE):
        for document_id in document_ids:
            tools.blobs.remove(path(document_id))
        tools.ledger.let_go(document_ids)
        gone += len(document_ids)
    return gone


def _again(tools: Tools, run: Run) -> Callable[[Item], Raw | None]:
    read = reading(tools, run)

    def read_again(item: Item) -> Raw | None:
        try:
            return read(item)
        except Unreadable:
            return None

    return read_again


def _kept(tools: Tools, run: Run, item: Item) -> Raw:
    key = tools.keyring.get([item.document_id]).get(item.document_id)
    if key is None:  # erased
        raise unreadable("not_kept")
    try:
        cipher = Cipher(key, run.source.spec.tenant, item.document_id)
        packed = cipher.decrypt(_PURPOSE, tools.blobs.read(path(item.document_id)))
    except (NotFound, Terminal) as error:  # gone, or damaged
        raise unreadable("not_kept") from error
    end = _HEAD_BYTES + int.from_bytes(packed[:_HEAD_BYTES])
    head = json.loads(packed[_HEAD_BYTES:end])
    return Raw(item, packed[end:], head["mime"], head["title"], head["metadata"])


def _packed(raw: Raw) -> bytes:
    told = {"mime": raw.mime, "title": raw.title, "metadata": dict(raw.metadata)}
    head = json.dumps(told, default=str).encode()
    return len(head).to_bytes(_HEAD_BYTES) + head + raw.content
