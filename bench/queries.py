"""Latency at a fixed open-loop rate: a request is sent at its due time, even if earlier ones have not returned.

First of questions that were not asked before, then of questions whose answers are cached.

Latency is measured from the time at which a request was due, to avoid coordinated omission when a server stalls.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from demo.server import Server
from sluice.retrieval import judgement_files

RATE_PER_S = 10.0
SECONDS = 30.0
THREADS = 32
REPEATED = 50  # questions with cached answers


def measure(server: Server, data: Path) -> dict[str, Any]:
    texts = list(judgement_files.read_queries(data / "retrieval" / "cranfield" / "queries.jsonl").values())
    count = int(RATE_PER_S * SECONDS)
    repeated = texts[:REPEATED]
    for text in repeated:  # the first requests load the model
        server.search(text, "cranfield", 10)
    uncached = _open_loop(server, [f"{texts[i % len(texts)]} {i}" for i in range(count)])
    cached = _open_loop(server, [repeated[i % REPEATED] for i in range(count)])
    cached = {f"cached_{name}": figure for name, figure in cached.items()}
    return {"rate_per_s": RATE_PER_S, "requests": count, **uncached, **cached}


def _open_loop(server: Server, questions: Sequence[str]) -> dict[str, float]:
    began_s = time.perf_counter() + 0.1

    def ask(i: int) -> tuple[float, float, bool]:
        due_s = began_s + i / RATE_PER_S
        time.sleep(max(0.0, due_s - time.perf_counter()))
        answer = server.search(questions[i], "cranfield", 10)
        return (time.perf_counter() - due_s) * 1000, answer["took_ms"], answer["cached"]

    with ThreadPoolExecutor(THREADS) as pool:
        outer, inner, hits = np.array(list(pool.map(ask, range(len(questions))))).T
    return {
        "client_p50_ms": round(float(np.percentile(outer, 50)), 1),
        "client_p95_ms": round(float(np.percentile(outer, 95)), 1),
        "server_p50_ms": round(float(np.percentile(inner, 50)), 1),
        "server_p95_ms": round(float(np.percentile(inner, 95)), 1),
        "hits": round(float(hits.mean()), 3),
    }
