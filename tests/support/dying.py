"""The load path in processes of their own, forked from a warm one, which a test may let die anywhere."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal
from uuid import UUID, uuid4

import great_expectations  # noqa: F401  # seconds of imports, paid once by the fork server

from sluice.errors import SluiceError
from sluice.model.chunk import Vector
from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest
from sluice.ports.content import Embedder
from sluice.ports.readers import SourceReader
from sluice.ports.vector_cache import VectorCache
from sluice.settings import Settings
from sluice.wiring.application import Sluice
from support import steps
from support.agreement import Capitals
from support.failpoints import Point, Watch, listen
from support.swapping import swapped

TIMEOUT_S = 120


@dataclass(frozen=True)
class Order:
    """What a process is to do. `path`: all in one, or task by task as under Airflow."""

    settings: Settings
    spec: SourceSpec
    folder: Path  # of what outlives the process: what was paid for, and what tasks returned
    path: Literal["flow", "batches"] = "flow"
    die_at: Point | None = None
    run_id: UUID = field(default_factory=uuid4)  # of the DAG run


@dataclass(frozen=True)
class Ended:
    exit_code: int
    outcome: str = ""  # done, or the error's class
    output: Any = None  # the summary, or the error's message
    passed: Sequence[Point] = ()


class Paid:
    """An embedder whose every bill is on disk before it is delivered."""

    def __init__(self, embedder: Embedder, folder: Path) -> None:
        self.name, self.dim, self.at_once = embedder.name, embedder.dim, embedder.at_once
        self._embedder, self._file = embedder, folder / "paid.jsonl"

    def embed(self, texts: Sequence[str]) -> Vector:
        return self.metered(texts)[0]

    def metered(self, texts: Sequence[str]) -> tuple[Vector, int]:
        with self._file.open("a") as file:
            file.write(json.dumps([sha256(text.encode()).hexdigest() for text in texts]) + "\n")
        return self._embedder.metered(texts)

    def tokens(self, texts: Sequence[str]) -> list[int]:
        return self._embedder.tokens(texts)


class Marked:
    """A reader whose source names its states, as a repository does."""

    def __init__(self, reader: SourceReader) -> None:
        self.scan, self.read = reader.scan, reader.read

    def cursor(self) -> str:
        return "state"


class Kept:
    """A cache that notes beside the bills what it has stored."""

    def __init__(self, cache: VectorCache, folder: Path) -> None:
        self._cache, self._file = cache, folder / "paid.jsonl"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def store(self, embedder: str, hashes: Sequence[bytes], vectors: Vector) -> None:
        self._cache.store(embedder, hashes, vectors)
        with self._file.open("a") as file:
            file.write("[]\n")


def bills(folder: Path) -> list[Counter[str]]:
    """Texts, by their hash, of each call of the embedder by any process."""
    return [bill for bill in _lines(folder) if bill]


def unkept(folder: Path) -> Counter[str]:
    """The last bill, where its process died before the vectors were stored: whichever of its threads met the death,
    another may have had them in hand."""
    return next(iter(_lines(folder)[-1:]), Counter())


def _lines(folder: Path) -> list[Counter[str]]:
    file = folder / "paid.jsonl"
    return [Counter(json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []


def sluice_of(order: Order) -> Sluice:
    sluice = Sluice(order.settings)
    embedder = Paid(sluice.embedder(order.settings.embedder), order.folder)

    def marked(spec: SourceSpec, since: str | None = None, *, dry: bool = False) -> Marked:
        return Marked(sluice.reader(spec, since, dry=dry))

    return swapped(
        sluice,
        embedder=lambda profile: embedder,
        cache=Kept(sluice.cache, order.folder),
        entities=lambda name: Capitals(),
        reader=marked,
    )


def work(sluice: Sluice, order: Order) -> dict[str, Any]:
    if order.path == "flow":
        return sluice.ingestion.ingest(IngestRequest(order.spec)).to_json()
    return _tasks(sluice, order)


def _tasks(sluice: Sluice, order: Order) -> dict[str, Any]:
    """What a task returned is kept; one that died is tried again and finds its input."""

    def task(name: str, call: Callable[[], Any]) -> Any:
        stored = order.folder / f"{order.run_id}-{name}.xcom"
        if not stored.exists():
            stored.write_bytes(pickle.dumps(call()))
        return pickle.loads(stored.read_bytes())

    options: dict[str, Any] = {"run_id": order.run_id, "orchestrator": f"airflow:drill/{order.run_id}"}
    refs = task("plan", lambda: sluice.checkpoints.plan(IngestRequest(order.spec, "incremental", **options)))
    for ref in refs:
        for verb in (steps.extract, steps.validate, steps.chunk, steps.embed, steps.load):
            ref = task(f"{verb.__name__}-{ref.batch}", partial(verb, sluice, ref))
    output: dict[str, Any] = task("finish", lambda: steps.finish(sluice, order.run_id))
    task("close", lambda: sluice.checkpoints.close(order.run_id))
    return output


# --- processes ----------------------------------------------------------------------------------------------


def start(order: Order, work: Callable[[Sluice, Order], Any] = work) -> tuple[Any, Connection]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    # The server is a fresh interpreter: without these paths it could preload nothing.
    os.environ["PYTHONPATH"] = os.pathsep.join(each for each in sys.path if each)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_live, args=(order, work, sender), daemon=True)
    process.start()
    sender.close()
    return process, receiver


def wait(process: Any, receiver: Connection) -> Ended:
    try:
        output = receiver.recv() if receiver.poll(TIMEOUT_S) else ()
    except EOFError:
        output = ()
    process.join(TIMEOUT_S)
    return Ended(process.exitcode, *output)


def run(order: Order, work: Callable[[Sluice, Order], Any] = work) -> Ended:
    """To its end, or to its death."""
    return wait(*start(order, work))


def _live(order: Order, work: Callable[[Sluice, Order], Any], sender: Connection) -> None:
    # Locks of the fork server's own kind are registered, and one whose process was killed is complained of at the end.
    multiprocessing.set_start_method("fork", force=True)
    watch = Watch(order.die_at)
    listen(watch)
    sluice = sluice_of(order)
    try:
        sender.send(("done", work(watch.over(sluice), order), watch.passed))
    except SluiceError as error:
        sender.send((type(error).__name__, str(error), watch.passed))
    finally:
        sluice.close()
