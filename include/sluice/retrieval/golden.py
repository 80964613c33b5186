"""Golden sets with readable questions: encrypts what the ledger stores, and decrypts what it returns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar
from uuid import UUID, uuid5

from sluice.encryption import Cipher, ciphers, keyed_hash
from sluice.errors import BadRequest, NotFound, Terminal, Transient
from sluice.model.evaluation import FILES
from sluice.model.generation import Generation
from sluice.model.golden import GoldenSet, JudgedQuery, Judgement, OpenFeedback, StoredQuery, folded
from sluice.model.names import is_name
from sluice.ports.content import Keyring
from sluice.ports.golden import GoldenSets

log = logging.getLogger(__name__)
T = TypeVar("T")
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Golden:
    """Reads and changes golden sets. Each question has a key of its own in the keyring."""

    sets: GoldenSets
    keyring: Keyring

    def add(
        self,
        generation: Generation,
        tenant: str,
        name: str,
        queries: Sequence[JudgedQuery],
        *,
        replace: bool = False,
    ) -> GoldenSet:
        """Adds questions to a golden set of the tenant; see `ports.golden.GoldenSets.add`. A document is found by its
        id, or by its external id where the collection has exactly one of it; of several judgements of one document the
        last is used. Raises BadRequest, NotFound."""
        check_name(name)
        queries = self._with_documents(generation, tenant, queries)
        ids = [self.question_id(generation, tenant, each.text) for each in queries]

        def write(own: Mapping[UUID, Cipher]) -> GoldenSet:
            stored = [_stored(own[each], each, query, name) for each, query in zip(ids, queries, strict=True)]
            return self.sets.add(generation, tenant, name, stored, replace=replace)

        return self.with_keys(tenant, ids, write)

    def with_keys(self, tenant: str, question_ids: Sequence[UUID], write: Callable[[Mapping[UUID, Cipher]], T]) -> T:
        """Writes questions, encrypted under their keys. A removal may destroy a key between its reading and the write:
        then the write is repeated with the new one. Raises Transient."""
        ids = list(dict.fromkeys(question_ids))
        keys = self.keyring.create(ids)
        for _ in range(_TRIES):
            result = write(ciphers(tenant, keys))
            written_with, keys = keys, self.keyring.create(ids)
            if keys == written_with:
                return result
        raise Transient("Questions were removed as fast as they were added. Repeat the call.")

    def read(self, tenant: str, collection: str, name: str) -> list[JudgedQuery]:
        """Returns the questions of a golden set. Those whose key was destroyed are left out. Raises NotFound."""
        stored = self.sets.queries(tenant, collection, name)
        own = ciphers(tenant, self.keyring.get([each.question_id for each in stored]))
        opened = [_opened(own[each.question_id], each, name) for each in stored if each.question_id in own]
        return [each for each in opened if each is not None]

    def find(self, tenant: str, collection: str, name: str) -> GoldenSet:
        """Returns a golden set's numbers. Raises NotFound."""
        found = [each for each in self.sets.sets(tenant, collection) if each.name == name]
        if not found:
            raise NotFound(
                f"Tenant {tenant!r} has no golden set {name!r} in collection {collection!r}. `sluice golden list` "
                "shows those that exist."
            )
        return found[0]

    def remove(self, golden_set: GoldenSet, question_ids: Sequence[UUID] | None = None) -> int:
        """Removes questions, or (None) a whole golden set, and destroys the keys of questions that nothing else uses.
        Returns their number."""
        return self.sets.forget(self.sets.remove(golden_set, question_ids), self.keyring.destroy)

    def remove_all(self, generation: Generation, tenant: str | None) -> None:
        """Destroys the keys of all questions of a collection, of one tenant or of all. With a tenant, also removes its
        golden sets, feedback and evaluations; without one, the collection's deletion removes them."""
        self.keyring.destroy(self.sets.of_tenant(generation, tenant))
        if tenant is not None:
            self.sets.remove_tenant(generation, tenant)

    def question_id(self, generation: Generation, tenant: str, text: str) -> UUID:
        """Returns the id of a question: the same text has the same one within the tenant's collection. It is derived
        from a keyed hash, so that nobody can test a guess of the text without the key."""
        words = folded(text).encode("utf-8", "surrogatepass")
        hashed = keyed_hash(self.keyring.index_key(tenant), "question", words)
        return uuid5(generation.collection_id, hashed.hex())

    def text_of(self, tenant: str, feedback: Sequence[OpenFeedback]) -> dict[UUID, str]:
        """Returns the questions of feedback by id, without those that cannot be decrypted."""
        own = ciphers(tenant, self.keyring.get([each.question_id for each in feedback]))
        texts: dict[UUID, str] = {}
        for each in feedback:
            try:
                texts[each.question_id] = own[each.question_id].decrypt_text("question", each.sealed_text)
            except (KeyError, Terminal):
                log.warning("Question %s cannot be decrypted; it is left out", each.question_id)
        return texts

    def _with_documents(self, generation: Generation, tenant: str, queries: Sequence[JudgedQuery]) -> list[JudgedQuery]:
        judged = [judgement for query in queries for judgement in query.judgements]
        names = {each.external_id for each in judged if each.external_id}
        by_name = self.sets.documents(generation, tenant, sorted(names))
        known = self.sets.names_of(generation, tenant, [each.document_id for each in judged if each.document_id])
        return [
            replace(query, judgements=_last_of_each(_resolved(each, by_name, known) for each in query.judgements))
            for query in queries
        ]


def check_name(name: str) -> None:
    """Raises BadRequest where it cannot be a golden set's name."""
    if name == FILES:
        raise BadRequest(f"{FILES!r} cannot be a golden set's name: the history names evaluations of files so.")
    if not is_name(name):
        raise BadRequest(f"{name[:80]!r} cannot be a golden set's name: use 1 to 63 of a-z, 0-9, '_' and '-'.")


def sealed_text(cipher: Cipher, text: str) -> bytes:
    """Encrypts a question."""
    return cipher.encrypt_text("question", text.strip())


def _resolved(judgement: Judgement, by_name: dict[str, UUID], known: dict[UUID, str]) -> Judgement:
    if judgement.document_id is None:
        return replace(judgement, document_id=by_name.get(judgement.external_id))
    if judgement.document_id not in known:
        # Of another collection, or of a former document of this name: an exported file serves here, too.
        if judgement.external_id:
            return replace(judgement, document_id=by_name.get(judgement.external_id))
        raise NotFound(
            f"The collection has no document {judgement.document_id} of this tenant. Nothing was stored. Leave "
            "document_id out, or correct it; a search shows it."
        )
    return replace(judgement, external_id=judgement.external_id or known[judgement.document_id])


def _last_of_each(judgements: Iterable[Judgement]) -> tuple[Judgement, ...]:
    return tuple({each.document_id or each.external_id: each for each in judgements}.values())


def _stored(cipher: Cipher, question_id: UUID, query: JudgedQuery, name: str) -> StoredQuery:
    return StoredQuery(
        question_id,
        sealed_text(cipher, query.text),
        cipher.encrypt_text("query id", query.query_id, name),
        query.origin,
        query.judgements,
    )


def _opened(cipher: Cipher, stored: StoredQuery, name: str) -> JudgedQuery | None:
    try:
        text = cipher.decrypt_text("question", stored.sealed_text)
        query_id = cipher.decrypt_text("query id", stored.sealed_name, name)
    except Terminal:
        log.warning("Question %s of golden set %s cannot be decrypted; it is left out", stored.question_id, name)
        return None
    return JudgedQuery(query_id, text, stored.judgements, stored.origin, stored.question_id)
