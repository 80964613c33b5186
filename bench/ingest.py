"""Times the ingest of 1,400 Cranfield files. Sluice and the peer run in turns on the same Qdrant server."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from bench import peer

ROUNDS = 3
VARIANTS = {
    "vectors-only": {"SLUICE_GRAPH": "off", "SLUICE_EMBEDDER": "hash:384", "SLUICE_CHUNKER": "chars:600:100"},
    "full": {"SLUICE_GRAPH": "on", "SLUICE_EMBEDDER": "hash:384", "SLUICE_CHUNKER": "chars:600:100"},
}
PHASES = ("cold", "warm", "edit", "shape")


def measure(environment: dict[str, str], data: Path, work: Path) -> dict[str, Any]:
    corpus = data / "retrieval" / "cranfield" / "corpus.jsonl"
    script = peer.available()
    python = peer.install(work / "peer") if script else None
    rounds: dict[str, list[list[dict[str, Any]]]] = {name: [] for name in ("peer", *VARIANTS)}
    for _ in range(ROUNDS):
        if script and python:
            rounds["peer"].append(peer.phases(python, script, corpus, environment))
        rounds["vectors-only"].append(_ours("vectors-only", environment, corpus, work))
    rounds["full"].append(_ours("full", environment, corpus, work))
    figures: dict[str, Any] = {name: _medians(runs) for name, runs in rounds.items() if runs}
    if "peer" in figures:
        figures["ratio of medians, vectors-only / peer"] = {
            phase: round(figures["vectors-only"][phase]["s"] / figures["peer"][phase]["s"], 2) for phase in PHASES
        }
    else:
        figures["note"] = "the peer was not measured: SLUICE_PEERS names no folder with its script"
    return figures


def _ours(variant: str, environment: dict[str, str], corpus: Path, work: Path) -> list[dict[str, Any]]:
    folder = work / f"corpus-{variant}"
    variables = {**os.environ, **environment, **VARIANTS[variant], "SLUICE_FILE_ROOTS": str(work)}
    arguments = ["--folder", str(folder), "--corpus", str(corpus), "--collection", f"bench-{uuid.uuid4().hex[:8]}"]
    done = subprocess.run(
        [sys.executable, "-m", "bench.phases", *arguments],
        env=variables,
        stdout=subprocess.PIPE,
        text=True,
        timeout=900,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def _medians(runs: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Returns, by phase, the run with the median time, its time by stage, and all times."""
    result = {}
    for i, phase in enumerate(PHASES):
        times = [run[i]["s"] for run in runs]
        middle = statistics.median_low(times)
        result[phase] = {**next(run[i] for run in runs if run[i]["s"] == middle), "all_s": times}
    return result
