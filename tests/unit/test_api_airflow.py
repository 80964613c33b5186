"""Airflow's side of the query service: a plugin that costs other processes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("qdrant_client", "neo4j", "onnxruntime", "tokenizers", "spacy", "pyarrow", "great_expectations", "kreuzberg")


def _in_a_process(code: str) -> str:
    paths = os.pathsep.join([str(ROOT / "include"), str(ROOT / "plugins")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    return done.stdout.strip().splitlines()[-1]


def test_loading_the_plugin_imports_nothing_of_the_service() -> None:
    """Scheduler, triggerer and every task process load it, too."""
    code = "import sys, sluice_plugin; print(sorted(n for n in sys.modules if n.split('.')[0] == 'sluice'))"
    ours = ["sluice", "sluice.airflow", *(f"sluice.airflow.{name}" for name in ("notes", "preload", "results", "xcom"))]
    assert _in_a_process(code) == str(ours)


def test_the_scheduler_imports_what_tasks_need_and_starts_no_thread() -> None:
    """By the hook that Airflow calls before it forks workers; a thread of a library would be missing in them."""
    code = f"""
import os, sys, threading
os.environ["AIRFLOW__CORE__PLUGINS_FOLDER"] = {str(ROOT / "plugins")!r}
from airflow.jobs.job import Job
sys.argv = ["airflow", "triggerer"]
Job()
assert "great_expectations" not in sys.modules, "the triggerer runs no tasks"
sys.argv = ["airflow", "scheduler"]
Job()
from sluice.airflow.preload import MODULES
missing = [name for name in (*MODULES, "great_expectations") if name not in sys.modules]
print(missing, [each.name for each in threading.enumerate()])
"""
    assert _in_a_process(code) == "[] ['MainThread']"


def test_mounting_the_plugin_builds_no_client_and_reads_no_setting() -> None:
    code = f"""
import sys
from sluice_plugin import SluicePlugin
plugin = SluicePlugin()
[entry] = plugin.fastapi_apps
assert plugin.fastapi_apps[0]["app"] is entry["app"], "one app, however often Airflow asks"
assert entry["url_prefix"] == "/sluice"
assert plugin.external_views[0]["href"] == "/sluice/"
print(sorted(set({HEAVY!r}) & {{name.split(".")[0] for name in list(sys.modules)}}))
"""
    assert _in_a_process(code) == "[]"
