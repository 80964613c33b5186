"""What can be said of the DAG files without Airflow's database."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("great_expectations", "qdrant_client", "neo4j", "spacy", "onnxruntime", "pandas", "pyarrow", "kreuzberg")


def test_docs_dags_is_what_the_docstrings_say() -> None:
    found = importlib.util.spec_from_file_location("dags_doc", ROOT / "docs" / "dags.py")
    assert found and found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    assert (ROOT / "docs" / "dags.md").read_text() == module.render(), "run: python docs/dags.py > docs/dags.md"


def test_parsing_a_dag_file_imports_no_heavy_client() -> None:
    code = (
        "import sys; sys.path.insert(0, 'dags'); import airflow.sdk; before = set(sys.modules)\n"
        "import ingest, ingest_all, reconcile, retention\n"
        f"heavy = [name for name in {HEAVY!r} if name in set(sys.modules) - before]\n"
        "sys.exit(' '.join(heavy) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "include")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
