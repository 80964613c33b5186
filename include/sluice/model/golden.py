"""Golden sets: questions with the documents that answer them, and feedback of callers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

Origin = Literal["manual", "import", "feedback"]
"""How a question came into its golden set."""

DEFAULT_SET = "default"
FEEDBACK_SET = "feedback"  # of judgements that callers agreed on
MAX_QUERIES = 10_000  # of one golden set
MAX_GAIN = 1000.0


def folded(question: str) -> str:
    """Returns the words of a question with one space between: questions that are equal so are one question."""
    return " ".join(question.split())


@dataclass(frozen=True, slots=True)
class Judgement:
    """How well a document answers a question. `gain` 0: not at all.

    `document_id`: None where the collection has no document of this external id, or several."""

    external_id: str
    gain: float
    document_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """A readable question with its judgements. `query_id`: its id in the file it came from."""

    query_id: str
    text: str
    judgements: tuple[Judgement, ...]
    origin: Origin = "manual"
    question_id: UUID | None = None  # in the ledger; None: it is not stored

    @property
    def has_relevant(self) -> bool:
        """Whether a document is judged as relevant."""
        return any(each.gain > 0 for each in self.judgements)


@dataclass(frozen=True, slots=True)
class StoredQuery:
    """A question as the ledger stores it, with its judgements. Text and id are encrypted under the question's own
    key."""

    question_id: UUID
    sealed_text: bytes
    sealed_name: bytes
    origin: Origin
    judgements: tuple[Judgement, ...]


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """What a golden set holds, in numbers. `version`: hash of its questions and judgements."""

    golden_set_id: UUID
    tenant: str
    collection: str
    name: str
    version: str
    queries: int
    judgements: int
    origins: dict[str, int] = field(default_factory=dict)  # questions by origin
    changed_at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the numbers as JSON values."""
        values = asdict(self)
        del values["golden_set_id"]
        return values


@dataclass(frozen=True, slots=True)
class GivenFeedback:
    """Feedback of one caller on one document for one question. The caller is a keyed hash."""

    question_id: UUID
    sealed_text: bytes
    document_id: UUID
    chunk_id: UUID | None
    gain: float
    caller_hash: bytes


@dataclass(frozen=True, slots=True)
class OpenFeedback:
    """What callers said of one document for one question, and nobody has decided yet."""

    question_id: UUID
    sealed_text: bytes
    document_id: UUID
    external_id: str
    relevant: int  # callers who said so
    irrelevant: int
    gain: float  # the lowest that a caller gave who said that it is relevant; 0: nobody did
    last_at: datetime
    judged: bool = False  # whether the golden set `feedback` has a judgement of the document for the question

    @property
    def balance(self) -> int:
        """The number of callers by which those who said relevant outnumber the others."""
        return self.relevant - self.irrelevant


def judged_hash(question: str, judgements: Sequence[Judgement]) -> bytes:
    """Returns 16 bytes that change with a question's judgements. `question`: an id that does not reveal its text.
    Scores of two evaluations are compared where this is equal."""
    digest = hashlib.blake2b(digest_size=16)
    parts = sorted((each.external_id, f"{each.gain:.6g}") for each in judgements)
    for part in (question, *(word for pair in parts for word in pair)):
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(4, "little") + data)
    return digest.digest()


def version_of(questions: Iterable[tuple[UUID, Sequence[Judgement]]]) -> str:
    """Returns the version of a golden set, 16 hexadecimal digits, from the ids and judgements of all its questions in
    any order."""
    hashes = sorted(judged_hash(str(key), judgements) for key, judgements in questions)
    return hashlib.blake2b(b"".join(hashes), digest_size=8).hexdigest()
