"""What can be said of the DAG files without Airflow's database."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("great_expectations", "qdrant_client", "neo4j", "spacy", "onnxruntime", "pandas", "pyarrow", "kreuzberg")


def test_docs_dags_is_what_the_docstrings_say() -> None:
    result = importlib.util.spec_from_file_location("dags_doc", ROOT / "docs" / "dags.py")
    assert result and result.loader
    module = importlib.util.module_from_spec(result)
    result.loader.exec_module(module)
    assert (ROOT / "docs" / "dags.md").read_text() == module.render(), "run: python docs/dags.py > docs/dags.md"


def test_the_runbooks_rest_examples_can_be_pasted(tmp_path: Path) -> None:
    """With a `curl` that writes down what it is told, from a folder as a checkout with a running stack is."""
    examples = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs" / "dags.md").read_text(), re.S | re.M)
    (tmp_path / ".sluice").mkdir()
    credentials = "SLUICE_AIRFLOW_URL=http://127.0.0.1:8080\nSLUICE_ADMIN_USER=admin\nSLUICE_ADMIN_PASSWORD=a-B_9\n"
    (tmp_path / ".sluice" / "credentials.env").write_text(credentials)
    fake = tmp_path / "curl"
    fake.write_text(
        '#!/bin/sh\nfor each; do printf \'%s\\0\' "$each"; done >> calls\necho \'{"access_token":"jwt"}\'\n'
    )
    fake.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-euc", "".join(examples)], cwd=tmp_path, env=environment, check=True, capture_output=True)
    words = (tmp_path / "calls").read_text().split("\0")
    login, run = (json.loads(body) for flag, body in pairwise(words) if flag == "-d")
    assert login == {"username": "admin", "password": "a-B_9"}
    assert set(run) == {"logical_date", "conf"} and run["logical_date"] is None
    assert run["conf"]["source"] == f"{tmp_path.as_uri()}/.sluice/demo/corpus" and run["conf"]["dry_run"] is True
    assert "Authorization: Bearer jwt" in words
    runs = "http://127.0.0.1:8080/api/v2/dags/sluice_ingest/dagRuns"
    assert {runs, f"{runs}/the dag_run_id", f"{runs}/the dag_run_id/taskInstances/plan/logs/1"} <= set(words)


def test_parsing_a_dag_file_imports_no_heavy_client() -> None:
    code = (
        "import sys; sys.path.insert(0, 'dags'); import airflow.sdk; before = set(sys.modules)\n"
        "import evaluate, ingest, ingest_all, reconcile, retention\n"
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
