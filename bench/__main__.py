"""`python -m bench [section …]` (see SECTIONS; default: all) measures on a separate stack in a temporary folder.

`SLUICE_TEST_DATA` names the folder of public data; without it, sections that need it are skipped with a message.
`SLUICE_PEERS` names the folder of the peers.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import airflow, formats, ingest, pii, queries, relations, report, retrieval, scaling
from demo.__main__ import ROOT, up
from demo.server import Server
from devstack import Config, Stack, ports

RESULTS = ROOT / "bench" / "results"
MACHINE = {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.system()}
SECTIONS = ("pii", "relations", "formats", "ingest", "scaling", "retrieval", "queries", "airflow")


def main(wanted: list[str]) -> int:
    folder = os.environ.get("SLUICE_TEST_DATA")
    if not folder or not (Path(folder) / "retrieval").is_dir():
        print("Nothing measured: set SLUICE_TEST_DATA to the folder that holds retrieval/cranfield and others.")
        return 0
    if "pii" in wanted:
        _keep("pii", pii.measure(Path(folder)))
    if "relations" in wanted:
        _keep("relations", relations.measure(Path(folder)))
    if "formats" in wanted and (Path(folder) / "formats").is_dir():
        with tempfile.TemporaryDirectory(prefix="sluice-bench-") as scratch:
            _keep("formats", formats.measure(Path(folder), Path(scratch)))
    if set(wanted) - {"pii", "relations", "formats", "airflow"}:
        with _stack() as (stack, server, work):
            _on_a_stack(wanted, Path(folder), stack.environment(), server, work)
    if "airflow" in wanted:
        with _stack(airflow.PLAIN) as (stack, server, work):
            _keep("airflow", airflow.measure(server, stack.environment(), Path(folder), work))
            _keep("machine", MACHINE)
    print(report.write(RESULTS))
    return 0


@contextmanager
def _stack(settings: Mapping[str, str] | None = None) -> Iterator[tuple[Stack, Server, Path]]:
    """Starts a separate stack with these settings. Yields it with its server and a folder that sources may read."""
    work = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
    environ = {**os.environ, **(settings or {}), "SLUICE_HOME": str(work / "home"), **ports.free_settings()}
    environ["SLUICE_FILE_ROOTS"] = str(work)
    environ.pop("SLUICE_MARQUEZ_JAR", None)  # lineage is not measured
    stack = Stack(Config.from_env(ROOT, environ))
    try:
        yield stack, up(stack), work
    finally:
        stack.clean()  # as root, Postgres stores its data elsewhere: `clean` finds it
        shutil.rmtree(work, ignore_errors=True)


def _on_a_stack(wanted: list[str], data: Path, environment: dict[str, str], server: Server, work: Path) -> None:
    if "ingest" in wanted:
        _keep("ingest", ingest.measure(environment, data, work))
    if "scaling" in wanted:
        _keep("scaling", scaling.measure(environment, data, work))
    if "retrieval" in wanted:
        section = "retrieval" if retrieval.EMBEDDER == "minilm" else f"retrieval-{retrieval.EMBEDDER}"
        _keep(section, {**_kept(section), **retrieval.measure(server, environment, data)})
    if "queries" in wanted:
        _keep("queries", queries.measure(server, environment, data, work))
    _keep("machine", MACHINE)


def _kept(section: str) -> dict[str, Any]:
    """Returns the figures of the last time: of sets that are not measured now."""
    file = RESULTS / f"{section}.json"
    return json.loads(file.read_text()) if file.exists() else {}


def _keep(section: str, figures: dict[str, Any]) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{section}.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(f"{section} is measured", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(SECTIONS)))
