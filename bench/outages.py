"""Searches while a dependency is stopped, hangs or is slow: `python -m bench.outages` prints a table.

Engines are started in a temporary folder. An open loop sends searches at a fixed rate to the query service's search,
by 16 threads, as the API has; latency is counted from the time at which a request was due. The outage begins with the
first request of a state, so the figures include the calls that open the breaker. `slow`: the engine runs a tenth of
the time; the endpoint answers after 0.3 s.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from bench import command
from demo.__main__ import ROOT
from devstack import Config, Stack, ports
from sluice.errors import Transient
from sluice.model.grants import operator
from sluice.model.search import SearchRequest
from sluice.retrieval import judgement_files
from sluice.settings import Settings
from sluice.wiring.application import Sluice
from support.outages import OUTAGES, EmbeddingEndpoint

RATE_PER_S = 10.0
SECONDS = 10.0
THREADS = 16
PARTS = ("qdrant", "neo4j", "redis", "postgres")
_BACK_S = 60.0  # until all searches are complete again


def main() -> None:
    data = Path(os.environ["SLUICE_TEST_DATA"])
    with engines() as (stack, work):
        figures = measure(stack, work, data)
    print(json.dumps(figures, indent=1))
    for line in table(figures):
        print(line)


@contextmanager
def engines() -> Iterator[tuple[Stack, Path]]:
    """Starts engines in a temporary folder; stops and removes them at the end."""
    work = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
    stack = Stack(Config.from_env(ROOT, {**os.environ, "SLUICE_HOME": str(work / "home"), **ports.free_settings()}))
    try:
        stack.up(["engines"], lambda line: print(line, file=sys.stderr))
        yield stack, work
    finally:
        stack.clean(lambda line: None)
        shutil.rmtree(work, ignore_errors=True)


def measure(stack: Stack, work: Path, data: Path) -> dict[str, Any]:
    """Returns state → its figures, by dependency."""
    endpoint = EmbeddingEndpoint()
    folder = data / "retrieval" / "cranfield"
    environment = {
        **stack.environment(),
        "SLUICE_EMBEDDER": "openai:bench",
        "SLUICE_OPENAI_BASE_URL": endpoint.url,
        "SLUICE_FILE_ROOTS": str(folder),
    }
    os.environ.update(environment)
    command.sluice({**os.environ}, "migrate")
    command.sluice({**os.environ}, "ingest", f"jsonl://{folder / 'corpus.jsonl'}", "--collection", "bench")
    questions = list(judgement_files.read_queries(folder / "queries.jsonl").values())
    sluice = Sluice(Settings(), serving=True)
    figures: dict[str, Any] = {}
    try:
        figures["none"] = {"running": _load(sluice, questions, nullcontext())}
        for part in PARTS:
            figures[part] = {state: _load(sluice, questions, outage(stack, part)) for state, outage in OUTAGES.items()}
        figures["embedding"] = {state: _load(sluice, questions, endpoint.failing(state)) for state in OUTAGES}
    finally:
        sluice.close()
        endpoint.close()
    return figures


def _load(sluice: Sluice, questions: list[str], outage: AbstractContextManager[None]) -> dict[str, Any]:
    """Returns the latencies and the answers of one state, and the seconds until all is complete again."""
    ended: Counter[str] = Counter()
    with outage:
        began_s = time.perf_counter()

        def ask(i: int) -> float:
            due_s = began_s + i / RATE_PER_S
            time.sleep(max(0.0, due_s - time.perf_counter()))
            ended[_answer(sluice, f"{questions[i % len(questions)]} {began_s} {i}")] += 1  # not in any cache
            return (time.perf_counter() - due_s) * 1000

        with ThreadPoolExecutor(THREADS) as pool:
            took_ms = np.array(list(pool.map(ask, range(int(RATE_PER_S * SECONDS)))))
    p50, p99 = np.percentile(took_ms, [50, 99])
    back_s = _recovered(lambda: _answer(sluice, f"{questions[0]} {time.time()}") == "complete")
    figures = {"p50_ms": round(float(p50), 1), "p99_ms": round(float(p99), 1), "max_ms": round(float(took_ms.max()), 1)}
    return {**figures, "answers": dict(ended), "back_s": round(back_s, 1)}


def _answer(sluice: Sluice, question: str) -> str:
    try:
        outcome = sluice.search(SearchRequest(question, "bench"), operator("default"))
    except Transient:
        return "503"
    return ", ".join(outcome.degraded) or "complete"


def _recovered(is_complete: Callable[[], bool]) -> float:
    began_s = time.monotonic()
    while not is_complete():
        if time.monotonic() - began_s > _BACK_S:
            raise SystemExit(f"The searches are not complete again after {_BACK_S:g} s.")
        time.sleep(0.1)
    return time.monotonic() - began_s


def table(figures: dict[str, Any]) -> list[str]:
    """Returns the figures as a Markdown table."""
    lines = ["| dependency | state | p50, ms | p99, ms | longest, ms | answers | complete again after, s |"]
    lines.append("|---|---|---|---|---|---|---|")
    for part, states in figures.items():
        for state, each in states.items():
            answers = "; ".join(f"{count} {kind}" for kind, count in sorted(each["answers"].items()))
            took = f"{each['p50_ms']} | {each['p99_ms']} | {each['max_ms']}"
            lines.append(f"| {part} | {state} | {took} | {answers} | {each['back_s']} |")
    return lines


if __name__ == "__main__":
    main()
