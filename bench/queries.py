"""Searches through the API, by size of the collection, by number of callers, during an ingest and during edits.

Words of the texts are as frequent as in natural ones, and names link the passages. A load is an open loop at a fixed
rate: a request is sent at its due time, even if earlier ones have not returned, and its latency is measured from that
time, to avoid coordinated omission when a server stalls. Texts are embedded by `hash:384`, which takes no time; the
time of MiniLM is measured on Cranfield. `SLUICE_BENCH_CHUNKS` lists sizes, with commas.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from bench import command
from demo.server import Server, StepFailed
from sluice.retrieval import judgement_files

RATE_PER_S = 5.0
SECONDS = 30.0
THREADS = 32
CALLERS = (1, 4, 16)
CALLERS_S = 15.0
REPEATED = 50  # questions with cached answers
SIZES = "10000,100000"
SETTLED_S = 5.0  # for which Qdrant has nothing to do
INGESTED_DOCUMENTS = 60  # by `sluice_ingest` with MiniLM
EDITS_S = 600.0
EDITED_DOCUMENTS = 40
_PLAIN = {"SLUICE_EMBEDDER": "hash:384", "SLUICE_CHUNKER": "chars:600:0"}
_CHUNKS_A_DOCUMENT, _WORDS_A_CHUNK, _WORDS = 20, 75, 36_000
_UPTO = list(accumulate(1 / (number + 20) for number in range(_WORDS)))  # Mandelbrot 1953


def measure(server: Server, environment: Mapping[str, str], data: Path, work: Path) -> dict[str, Any]:
    variables = {**os.environ, **environment, "SLUICE_FILE_ROOTS": f"{work}:{data}"}
    corpus = (data / "retrieval" / "cranfield" / "corpus.jsonl").as_uri().replace("file:", "jsonl:")
    command.sluice(variables, "ingest", corpus, "--collection", "cranfield-minilm")
    asked = judgement_files.read_queries(data / "retrieval" / "cranfield" / "queries.jsonl").values()
    figures: dict[str, Any] = {"minilm, cranfield": _latencies(server, "cranfield-minilm", list(asked))}
    variables.update(_PLAIN)
    collection, texts = "", _Texts(0)
    for chunks in map(int, os.environ.get("SLUICE_BENCH_CHUNKS", SIZES).split(",")):
        collection, texts = f"zipf{chunks}", _Texts(chunks)
        began_s = time.perf_counter()
        _ingest(variables, work, collection, texts.documents(chunks // _CHUNKS_A_DOCUMENT))
        ingested_s = time.perf_counter()
        _wait_for_indexes(variables, f"{collection}__g1")
        figures[f"{chunks} chunks"] = {
            "ingest_s": round(ingested_s - began_s, 1),
            "indexes_s": round(time.perf_counter() - ingested_s, 1),
            **_latencies(server, collection, texts.questions()),
        }
        print(f"{chunks} chunks: {json.dumps(figures[f'{chunks} chunks'])}", flush=True)
    for callers in CALLERS:
        figures[f"{callers} callers"] = _closed_loop(server, collection, texts, callers)
    figures["server_mb"] = _memory_mb(server)
    figures["during an ingest"] = _during_an_ingest(server, work, collection, texts)
    figures["during edits"] = _during_edits(server, variables, work, collection, texts)
    return figures


def _latencies(server: Server, collection: str, questions: Sequence[str]) -> dict[str, Any]:
    count = int(RATE_PER_S * SECONDS)
    for text in questions[:REPEATED]:  # the first requests load models and plans
        server.search(text, collection, 10)
    new = [f"{questions[i % len(questions)]} {i}" for i in range(count)]
    figures = {}
    for kind, asked in (("uncached", new), ("cached", [questions[i % REPEATED] for i in range(count)])):
        answers, took_ms = _open_loop(lambda text: server.search(text, collection, 10), asked)
        figures[kind] = {
            "client_ms": _percentiles(took_ms),
            "server_ms": _percentiles([each["took_ms"] for each in answers]),
            "hits": round(sum(each["cached"] for each in answers) / count, 3),
            "degraded": _degraded(answers),
        }
    return figures


def _wait_for_indexes(variables: Mapping[str, str], backing_collection: str) -> None:
    """Waits until Qdrant has built its indexes, which it does after an ingest, on all cores."""
    headers, address = {"api-key": variables["SLUICE_QDRANT_API_KEY"]}, variables["SLUICE_QDRANT_URL"]
    busy_s = time.monotonic()
    while time.monotonic() - busy_s < SETTLED_S:
        answer = httpx.get(f"{address}/collections/{backing_collection}", headers=headers, timeout=60.0)
        if answer.raise_for_status().json()["result"]["status"] != "green":
            busy_s = time.monotonic()
        time.sleep(0.5)


def _open_loop(ask: Callable[[str], Any], questions: Sequence[str]) -> tuple[list[Any], list[float]]:
    """Returns the answers, and the milliseconds from the time when each was due."""
    began_s = time.perf_counter() + 0.1

    def one(i: int) -> tuple[Any, float]:
        due_s = began_s + i / RATE_PER_S
        time.sleep(max(0.0, due_s - time.perf_counter()))
        return ask(questions[i]), (time.perf_counter() - due_s) * 1000

    with ThreadPoolExecutor(THREADS) as pool:
        done = list(pool.map(one, range(len(questions))))
    return [answer for answer, _ in done], [took_ms for _, took_ms in done]


def _degraded(answers: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return dict(Counter(word for each in answers for word in each["degraded"]))


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    return {f"p{each}": round(float(np.percentile(values, each)), 1) for each in (50, 95, 99)}


def _closed_loop(server: Server, collection: str, texts: _Texts, callers: int) -> dict[str, float]:
    """Returns searches per second, where each caller asks as soon as it has an answer."""
    figures = {}
    for kind, questions in (("uncached", None), ("cached", texts.questions()[:REPEATED])):
        until_s = time.perf_counter() + CALLERS_S

        def ask(number: int, questions: Sequence[str] | None = questions, until_s: float = until_s) -> int:
            count, chance = 0, random.Random(f"{callers} {number}")
            while time.perf_counter() < until_s:
                question = questions[count % REPEATED] if questions else texts.question(chance)
                server.search(question, collection, 10)
                count += 1
            return count

        with ThreadPoolExecutor(callers) as pool:
            figures[f"{kind}_per_s"] = round(sum(pool.map(ask, range(callers))) / CALLERS_S, 1)
    return figures


def _memory_mb(server: Server) -> int:
    """Returns the resident memory of the processes that listen on the server's port."""
    port = int(server.url.rpartition(":")[2])
    listening = {
        each.pid
        for each in psutil.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN and each.laddr.port == port
    }
    return sum(int(psutil.Process(pid).memory_info().rss) for pid in listening if pid) // 2**20


def _during_an_ingest(server: Server, work: Path, collection: str, texts: _Texts) -> dict[str, Any]:
    """Returns latencies while another collection is ingested through `sluice_ingest`."""
    source = _write(work, "meanwhile", texts.documents(INGESTED_DOCUMENTS))
    run_id = server.trigger("sluice_ingest", {"source": source, "collection": "meanwhile"})
    asked = [texts.question(random.Random(f"meanwhile {i}")) for i in range(int(RATE_PER_S * SECONDS))]
    answers, took_ms = _open_loop(lambda text: server.search(text, collection, 10), asked)
    began_s = time.perf_counter()
    server.wait("sluice_ingest", run_id, command.TIMEOUT_S, lambda _: None)
    after_s = round(time.perf_counter() - began_s, 1)
    return {"client_ms": _percentiles(took_ms), "degraded": _degraded(answers), "the run went on for": f"{after_s} s"}


def _during_edits(
    server: Server, variables: Mapping[str, str], work: Path, collection: str, texts: _Texts
) -> dict[str, Any]:
    """Returns latencies, errors and stale answers while documents are edited, deleted and added again."""
    edits = _Edits(variables, work, collection)
    asked = [_Edits.name(i % EDITED_DOCUMENTS) for i in range(int(RATE_PER_S * EDITS_S))]
    asked[::2] = [texts.question(random.Random(f"edits {i}")) for i in range(len(asked[::2]))]
    errors: Counter[str] = Counter()
    stale: list[str] = []

    def ask(question: str) -> bool:
        valid = dict(edits.valid)
        try:
            answer = server.search(question, collection, 10)
        except StepFailed as error:
            errors[str(error)[:400]] += 1
            return False
        stale.extend(each["external_id"] for each in answer["results"] if edits.is_stale(each, valid))
        return bool(answer["cached"])

    with edits:
        hits, took_ms = _open_loop(ask, asked)
    return {
        "client_ms": _percentiles(took_ms),
        "searches": len(asked),
        "cached": round(sum(hits) / len(asked), 3),
        "ingests": edits.ingests,
        "errors": dict(errors),
        "stale": len(stale),
    }


class _Edits:
    """Edits documents of a source until the block ends. `valid`: document → the oldest revision that a search may
    return, -1 where it returns none."""

    def __init__(self, variables: Mapping[str, str], work: Path, collection: str) -> None:
        self._variables, self._work, self._collection = variables, work, collection
        self._chance, self._ended = random.Random(5), threading.Event()
        self._revisions = {f"edited{number}": 0 for number in range(EDITED_DOCUMENTS)}
        self.valid: dict[str, int] = {}
        self.ingests = 0
        self._thread = threading.Thread(target=self._edit_on)

    def __enter__(self) -> None:
        self._load()
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @staticmethod
    def name(number: int) -> str:
        return f"Edited {_name(number)}"

    def is_stale(self, result: dict[str, Any], valid: Mapping[str, int]) -> bool:
        name = result["external_id"]
        if name not in valid:
            return False
        revision = int(result["text"].rpartition("revision")[2].split()[0])
        # A document that was deleted may be back; then its revision is a later one.
        return revision < valid[name] if valid[name] >= 0 else revision <= -valid[name]

    def _edit_on(self) -> None:
        while not self._ended.is_set():
            for name in self._chance.sample(sorted(self._revisions), 5):
                self._revisions[name] = abs(self._revisions[name]) + 1
            for name in self._chance.sample(sorted(self._revisions), 2):
                self._revisions[name] = -abs(self._revisions[name]) - 1  # deleted
            self._load()

    def _load(self) -> None:
        rows = [
            {"_id": name, "title": self.name(number), "text": f"{self.name(number)} is at revision {revision} now."}
            for number, (name, revision) in enumerate(self._revisions.items())
            if revision >= 0
        ]
        _ingest(self._variables, self._work, self._collection, rows, "edited")
        self.valid = dict(self._revisions)
        self.ingests += 1


# --- texts --------------------------------------------------------------------------------------------------


class _Texts:
    """Documents and questions of a collection with this many chunks."""

    def __init__(self, chunks: int) -> None:
        self._names = max(1, chunks // _CHUNKS_A_DOCUMENT)

    def documents(self, count: int) -> list[dict[str, str]]:
        chance = random.Random(7)
        return [
            {
                "_id": f"d{number:06d}",
                "title": _name(number),
                "text": "\n\n".join(self._paragraph(chance) for _ in range(_CHUNKS_A_DOCUMENT)),
            }
            for number in range(count)
        ]

    def questions(self) -> list[str]:
        return [self.question(random.Random(number)) for number in range(300)]

    def question(self, chance: random.Random) -> str:
        words = _words(chance, chance.randrange(3, 9))
        return " ".join([*words, _name(chance.randrange(self._names))] if chance.random() < 0.5 else words)

    def _paragraph(self, chance: random.Random) -> str:
        """Returns a text about as long as a chunk, with two names."""
        words = _words(chance, _WORDS_A_CHUNK)
        for _ in range(2):
            words.insert(chance.randrange(len(words)), _name(chance.randrange(self._names)))
        return " ".join(words) + "."


def _words(chance: random.Random, count: int) -> list[str]:
    return [_word(bisect_left(_UPTO, chance.random() * _UPTO[-1])) for _ in range(count)]


def _word(number: int) -> str:
    syllables = ""
    while True:
        number, place = divmod(number, 70)
        syllables += "bdfgklmnprstvz"[place % 14] + "aeiou"[place // 14]
        if not number:
            return syllables


def _name(number: int) -> str:
    return f"{_word(number + 500).title()}x {_word(number * 7 + 900).title()}n"


def _write(work: Path, name: str, documents: Sequence[Mapping[str, str]]) -> str:
    file = work / f"{name}.jsonl"
    file.write_text("".join(f"{json.dumps(each)}\n" for each in documents))
    return f"jsonl://{file}"


def _ingest(
    variables: Mapping[str, str],
    work: Path,
    collection: str,
    documents: Sequence[Mapping[str, str]],
    name: str | None = None,
) -> None:
    command.sluice(variables, "ingest", _write(work, name or collection, documents), "--collection", collection)
