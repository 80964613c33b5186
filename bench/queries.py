"""Latency at a fixed open-loop rate: a request is sent at its due time, even if earlier ones have not returned.

Latency is measured from the time at which a request was due, to avoid coordinated omission when a server stalls.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from demo.server import Server
from sluice.retrieval import metrics

RATE_PER_S = 10.0
SECONDS = 30.0
THREADS = 32


def measure(server: Server, data: Path) -> dict[str, Any]:
    texts = list(metrics.read_queries(data / "retrieval" / "cranfield" / "queries.jsonl").values())
    count = int(RATE_PER_S * SECONDS)
    for text in texts[:20]:  # the first requests load the model
        server.search(text, "cranfield", 10)
    began_s = time.perf_counter() + 0.1

    def ask(i: int) -> tuple[float, float]:
        due_s = began_s + i / RATE_PER_S
        time.sleep(max(0.0, due_s - time.perf_counter()))
        took_ms = server.search(f"{texts[i % len(texts)]} {i}", "cranfield", 10)["took_ms"]  # not in any cache
        return (time.perf_counter() - due_s) * 1000, took_ms

    with ThreadPoolExecutor(THREADS) as pool:
        pairs = np.array(list(pool.map(ask, range(count))))
    outer, inner = pairs[:, 0], pairs[:, 1]
    return {
        "rate_per_s": RATE_PER_S,
        "requests": count,
        "client_p50_ms": round(float(np.percentile(outer, 50)), 1),
        "client_p95_ms": round(float(np.percentile(outer, 95)), 1),
        "server_p50_ms": round(float(np.percentile(inner, 50)), 1),
        "server_p95_ms": round(float(np.percentile(inner, 95)), 1),
    }
