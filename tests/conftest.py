"""One stack of real engines for the whole session: for each process of tests, where there are several (`-n 2`).

Unit tests start nothing. The first test that asks for `stack` starts Postgres, Valkey, Qdrant and Neo4j on free ports
in a folder of its own; `airflow_stack` adds Airflow's processes. Lineage goes to the Marquez of `SLUICE_MARQUEZ_URL` or
`SLUICE_MARQUEZ_JAR`, else to a receiver of the tests' own. With `SLUICE_TEST_STACK=external` the engines named by
`SLUICE_*` variables are used instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from devstack import Config, Stack, dotenv, ports
from sluice.model.source import Schedule
from sluice.wiring.application import Sluice
from support.engines import EngineStack
from support.scratch_databases import libpq

ROOT = Path(__file__).resolve().parents[1]
EXTERNAL = os.environ.get("SLUICE_TEST_STACK") == "external"


# Someone's own choice, and an awkward one: all tests that sign in to Airflow use it.
CHOSEN_PASSWORD = '-it\'s 100% "mine" & {{ ok }} $HOME/ü #1'
# A folder a process of tests, below one that the first of them makes and removes.
_WORKER = os.environ.get("PYTEST_XDIST_WORKER")
if _WORKER is None:
    os.environ["_SLUICE_TEST_HOMES"] = tempfile.mkdtemp(prefix="sluice-test-")
HOMES = Path(os.environ["_SLUICE_TEST_HOMES"])
HOME = HOMES / (_WORKER or "main")
HOME.mkdir()
# Settings of the person who runs the tests must not leak in; where the real servers lie, may.
_MARQUEZ = ("SLUICE_MARQUEZ_URL", "SLUICE_MARQUEZ_JAR")
_GIVEN = ("SLUICE_TEST_DATA", "SLUICE_QDRANT_BIN", *_MARQUEZ, "SLUICE_MARQUEZ_WEB", "SLUICE_CACHE")
if not EXTERNAL:
    for _name in [name for name in os.environ if name.startswith(("SLUICE_", "AIRFLOW_", "OPENLINEAGE_"))]:
        if _name not in (*_GIVEN, "SLUICE_MAVEN_MIRROR"):
            del os.environ[_name]
# Airflow reads these when it is first imported, long before a test asks for the stack.
os.environ["AIRFLOW_HOME"] = str(HOME / "airflow")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where several processes share the tests, a file's stay together, and so do all that run Airflow, or a browser."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            if path.startswith("tests/e2e/pages/"):
                return "pages"
            return "airflow" if path.startswith(("tests/dags/", "tests/e2e/")) else path

    return ByFile(config, log)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """What a run that was interrupted left running is stopped by what is written in the folders."""
    if _WORKER is None:
        for home in HOMES.iterdir():
            if (home / "run").is_dir():
                Stack(Config.from_env(ROOT, {**os.environ, "SLUICE_HOME": str(home)})).clean()
        shutil.rmtree(HOMES, ignore_errors=True)


@pytest.fixture(scope="session")
def stack() -> Iterator[EngineStack]:
    if EXTERNAL:
        yield EngineStack({name: value for name, value in os.environ.items() if name.startswith("SLUICE_")}, None)
        return
    dotenv.write_private(HOME / "credentials.env", {"SLUICE_ADMIN_PASSWORD": CHOSEN_PASSWORD}, "chosen by hand")
    with lineage_receiver() as lineage:
        environ = {**os.environ, "SLUICE_HOME": str(HOME), **ports.free_settings(), **lineage}
        yield from _running(Stack(Config.from_env(ROOT, environ)))


@contextmanager
def lineage_receiver() -> Iterator[dict[str, str]]:
    """A process that takes lineage as Marquez does, and the setting that names it; nothing where a Marquez is given."""
    if any(os.environ.get(name) for name in _MARQUEZ):
        yield {}
        return
    (port,) = ports.free(1)
    command = [sys.executable, "-m", "support.lineage_receiver", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE)  # it ends when this process does
    try:
        yield {"SLUICE_MARQUEZ_URL": f"http://127.0.0.1:{port}"}
    finally:
        process.kill()
        process.wait(20)


def _running(running: Stack) -> Iterator[EngineStack]:
    try:
        running.up(["engines"], lambda line: print(line, file=sys.stderr))
        environment = running.environment()
        with psycopg.connect(libpq(running.full_environment()["SLUICE_POSTGRES_ADMIN_URL"]), autocommit=True) as admin:
            admin.execute("ALTER SYSTEM SET fsync = off")  # tests end processes, never the machine
            admin.execute("SELECT pg_reload_conf()")
        subprocess.run(
            [sys.executable, "-m", "sluice.cli", "migrate"],
            env={**os.environ, **environment, "PYTHONPATH": str(ROOT / "include")},
            check=True,
            timeout=180,
        )
        yield EngineStack(environment, running)
    finally:
        running.clean(lambda line: None)  # as root, Postgres keeps its data elsewhere: this finds it


@pytest.fixture(scope="session")
def airflow_stack(stack: EngineStack) -> EngineStack:
    """`stack` with Airflow's processes on top. What other tests have saved is paused: it would all be run at 01:00."""
    if stack.devstack is None:
        pytest.skip("Airflow's tests need a stack of their own: unset SLUICE_TEST_STACK")
    environment = stack.environment
    with _closing(stack) as make:
        ledger = make([]).ledger
        for each in ledger.sources.saved():
            ledger.sources.set_schedule(each.spec.tenant, each.spec.collection, each.spec.uri, Schedule(paused=True))
    subprocess.run(
        [sys.executable, "-m", "sluice.cli", "grant", environment["SLUICE_ADMIN_USER"], "--write", "--group", "*"],
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT / "include")},
        check=True,
        timeout=180,
    )
    stack.devstack.up(["airflow"], lambda line: print(line, file=sys.stderr))
    return stack


@pytest.fixture
def name() -> str:
    """A name that no other test uses, for a collection or a tenant."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def make_sluice(stack: EngineStack) -> Iterator[Callable[..., Sluice]]:
    """`make_sluice(roots=[…], **settings) -> Sluice` on the real engines; a quick embedder unless told otherwise."""
    with _closing(stack) as make:
        yield make


@pytest.fixture(scope="module")
def make_lasting_sluice(stack: EngineStack) -> Iterator[Callable[..., Sluice]]:
    """The same, for fixtures of a module."""
    with _closing(stack) as make:
        yield make


@contextmanager
def _closing(stack: EngineStack) -> Iterator[Callable[..., Sluice]]:
    """Closed at the end: the connections of hundreds of tests are more than a server allows."""
    from sluice.wiring.application import Sluice

    built: list[Sluice] = []

    def make(roots: list[Path], **changes: Any) -> Sluice:
        changes = {"embedder": "hash:64", **changes}
        sluice = Sluice(stack.settings(file_roots=":".join(map(str, roots)), **changes))
        built.append(sluice)
        return sluice

    yield make
    for sluice in built:
        sluice.close()


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of public test data, never copied into the project."""
    folder = os.environ.get("SLUICE_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("no test data: set SLUICE_TEST_DATA to the folder that holds retrieval/, formats/ …")
    return Path(folder).resolve()  # as sources name what they find there
