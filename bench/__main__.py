"""`python -m bench [section …]` (see SECTIONS; default: all): on a stack of its own, in a temporary folder.

`SLUICE_TEST_DATA` names the folder of public data (skipped with a message where absent), `SLUICE_PEERS` the peers'.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import formats, ingest, pii, queries, relations, report, retrieval, scaling
from demo.__main__ import ROOT, up
from devstack import Config, Stack, ports

RESULTS = ROOT / "bench" / "results"
SECTIONS = ("pii", "relations", "formats", "ingest", "scaling", "retrieval", "queries")


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
    if set(wanted) - {"pii", "relations", "formats"}:
        _on_a_stack(wanted, Path(folder))
    print(report.write(RESULTS))
    return 0


def _on_a_stack(wanted: list[str], data: Path) -> None:
    work = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
    environ = {**os.environ, "SLUICE_HOME": str(work / "home"), **ports.free_settings()}
    environ.pop("SLUICE_MARQUEZ_JAR", None)  # lineage is not what is measured
    stack = Stack(Config.from_env(ROOT, environ))
    try:
        server = up(stack)
        environment = stack.environment()
        if "ingest" in wanted:
            _keep("ingest", ingest.measure(environment, data, work))
        if "scaling" in wanted:
            _keep("scaling", scaling.measure(environment, data, work))
        if "retrieval" in wanted:
            _keep("retrieval", retrieval.measure(server, environment, data, work))
        if "queries" in wanted:
            _keep("queries", queries.measure(server, data))
        _keep("machine", {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.system()})
    finally:
        stack.clean()  # as root, Postgres keeps its data elsewhere: this finds it
        shutil.rmtree(work, ignore_errors=True)


def _keep(section: str, figures: dict[str, Any]) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{section}.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(f"{section} is measured", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(SECTIONS)))
