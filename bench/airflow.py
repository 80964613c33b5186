"""The same ingest by the command line and by `sluice_ingest`, including starts and imports.

Each turn ingests once in each way, each time into a new tenant, because embeddings are cached by tenant. The command is
timed from its start to its end, the DAG run from the trigger to its end. For a DAG run, `tasks_s` is the total time of
all task instances, and `stages_s` is the part that its stages took. The rest is starts, imports and lineage.
"""

from __future__ import annotations

import json
import os
import statistics
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import command, peer
from bench.phases import fill
from demo.server import Server

ROUNDS = 2
PLAIN = {"SLUICE_EMBEDDER": "hash:384", "SLUICE_CHUNKER": "chars:600:100"}
DOCUMENTS = 20_000
_SETS = ("npl_vaswani", "hotpotqa_200", "medline", "scifact_train", "cranfield")


def measure(server: Server, environment: dict[str, str], data: Path, work: Path) -> dict[str, Any]:
    variables = {**os.environ, **environment, **PLAIN, "SLUICE_FILE_ROOTS": str(work)}
    cranfield = data / "retrieval" / "cranfield" / "corpus.jsonl"
    files, lines = work / "files", work / "lines.jsonl"
    fill(files, cranfield)
    documents = write_lines(lines, data / "retrieval")
    figures: dict[str, Any] = {
        f"{len(list(files.iterdir()))} files": _doors(server, variables, files.as_uri()),
        f"{documents} lines": _doors(server, variables, lines.as_uri().replace("file:", "jsonl:")),
    }
    figures["command line, full / vectors-only"] = _without_graph(variables, files.as_uri())
    if script := peer.available():
        python = peer.install(work / "peer")
        figures["vectors-only / peer, imports included"] = _peer(python, script, cranfield, variables, files.as_uri())
    return figures


def write_lines(path: Path, sets: Path) -> int:
    """Writes DOCUMENTS records of public sets, or as many as there are. Ids contain the name of the set."""
    written = 0
    with path.open("w") as out:
        for name in _SETS:
            corpus = sets / name / "corpus.jsonl"
            for line in corpus.open() if corpus.exists() else ():
                record = json.loads(line)
                if written < DOCUMENTS and record["text"].strip():
                    out.write(json.dumps({**record, "_id": f"{name}-{record['_id']}"}) + "\n")
                    written += 1
    return written


def _doors(server: Server, variables: dict[str, str], source: str) -> dict[str, Any]:
    commands = [_command(variables, source) for _ in range(ROUNDS)]
    runs = [_dag_run(server, variables, source) for _ in range(ROUNDS)]
    middle = sorted(runs, key=lambda each: each["s"])[(len(runs) - 1) // 2]
    command_s = [each["cold_s"] for each in commands]
    return {
        "command_s": command_s,
        "dag_s": [each["s"] for each in runs],
        "ratio": round(statistics.median([each["s"] for each in runs]) / statistics.median(command_s), 2),
        "command, nothing to do, s": [each["warm_s"] for each in commands],
        "dag": middle,
    }


def _without_graph(variables: dict[str, str], source: str) -> dict[str, Any]:
    pairs = [
        (
            _command({**variables, "SLUICE_GRAPH": "on"}, source)["cold_s"],
            _command({**variables, "SLUICE_GRAPH": "off"}, source)["cold_s"],
        )
        for _ in range(ROUNDS)
    ]
    return {"full_s": [full for full, _ in pairs], "vectors-only_s": [bare for _, bare in pairs], **_ratio(pairs)}


def _peer(python: Path, script: Path, corpus: Path, variables: dict[str, str], source: str) -> dict[str, Any]:
    """Times the peer. Its script runs four phases in one process; a user waits for the start and one phase."""
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(_command({**variables, "SLUICE_GRAPH": "off"}, source))
        began_s = time.perf_counter()
        phases = {each["phase"]: each["s"] for each in peer.phases(python, script, corpus, variables)}
        start_s = time.perf_counter() - began_s - sum(phases.values())
        theirs.append({"cold_s": round(start_s + phases["cold"], 2), "warm_s": round(start_s + phases["warm"], 2)})
    outcome: dict[str, Any] = {}
    for phase in ("cold_s", "warm_s"):
        pairs = [(one[phase], other[phase]) for one, other in zip(ours, theirs, strict=True)]
        outcome[phase] = {"ours": [one for one, _ in pairs], "peer": [other for _, other in pairs], **_ratio(pairs)}
    return outcome


def _ratio(pairs: list[tuple[float, float]]) -> dict[str, float]:
    ones, others = zip(*pairs, strict=True)
    return {"ratio": round(statistics.median(ones) / statistics.median(others), 2)}


def _command(variables: dict[str, str], source: str) -> dict[str, float]:
    """Times the command twice: first everything is new, then nothing."""
    name = f"bench-{uuid.uuid4().hex[:8]}"

    def ingest() -> float:
        return _timed(lambda: command.sluice(variables, "ingest", source, "--collection", name, "--tenant", name))

    return {"cold_s": ingest(), "warm_s": ingest()}


def _dag_run(server: Server, variables: dict[str, str], source: str) -> dict[str, Any]:
    name = f"bench-{uuid.uuid4().hex[:8]}"
    user = variables["SLUICE_ADMIN_USER"]
    command.sluice(variables, "grant", user, "--tenant", name, "--create-tenant", "--write", "--group", "*")
    conf = {"source": source, "collection": name, "tenant": name}
    began_s = time.perf_counter()
    run_id = server.trigger("sluice_ingest", conf)
    server.wait("sluice_ingest", run_id, command.TIMEOUT_S, lambda _: None)
    took_s = time.perf_counter() - began_s
    tasks = server.tasks("sluice_ingest", run_id)
    summary = server.result("sluice_ingest", run_id, "finish")
    by_task: dict[str, float] = {}
    for task in tasks:
        name = task["task_id"].rsplit(".", 1)[-1]
        by_task[name] = round(by_task.get(name, 0.0) + (task["duration"] or 0.0), 2)
    tasks_s, stages_s = sum(by_task.values()), sum(summary["stages"].values())
    return {
        "s": round(took_s, 2),
        "tasks": len(tasks),
        "tasks_s": round(tasks_s, 1),
        "stages_s": round(stages_s, 1),
        "share of starts, imports and lineage": round(1 - stages_s / tasks_s, 2),
        "by task, s": by_task,
        "by stage, s": {stage: round(took, 2) for stage, took in summary["stages"].items()},
    }


def _timed(call: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    call()
    return round(time.perf_counter() - began_s, 2)
