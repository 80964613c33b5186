"""The wheel works where it is installed: away from a checkout, with its own migrations, on real engines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import psycopg
import pytest

from support.engines import EngineStack
from support.scratch_databases import Scratch, libpq, scratch_databases

ROOT = Path(__file__).resolve().parents[2]
BUILT_FROM = (
    *("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "NOTICE", "alembic.ini"),
    *("include", "migrations"),
)
UV = Path(sys.executable).with_name("uv")
OFFLINE = {"UV_OFFLINE": "1", "UV_NO_PROGRESS": "1"}


def _run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """What it prints. Nothing of this process's settings reaches it but the path of programs."""
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    done = subprocess.run(command, cwd=cwd, env={**clean, **(env or {})}, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `make wheel` builds it: first the source distribution, then the wheel from that."""
    tree = tmp_path_factory.mktemp("tree")
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, tree / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, tree)
    out = tmp_path_factory.mktemp("dist")
    _run(UV, "build", "-q", "--no-build-isolation", "--python", sys.executable, "-o", out, cwd=tree, env=OFFLINE)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment of its own. It sees the packages of this one, but not its editable install: the .pth
    file that leads to the checkout is read in a site's own folder only."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    _run(UV, "pip", "install", "-q", "--no-deps", "--python", python, wheel, cwd=folder, env=OFFLINE)
    site = Path(_run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.parent


def test_the_wheel_has_the_package_and_nothing_of_the_checkout(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"sluice"}
    package = ROOT / "include" / "sluice"
    ours = {path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    scripts = {path for path in (ROOT / "migrations").rglob("*") if path.suffix in (".py", ".mako")}
    expected = {path.relative_to(package.parent).as_posix() for path in ours}
    expected |= {f"sluice/{path.relative_to(ROOT).as_posix()}" for path in (*scripts, ROOT / "alembic.ini")}
    assert {name for name in names if name.startswith("sluice/")} == expected
    assert {Path(name).name for name in names if "/licenses/" in name} == {"LICENSE", "NOTICE"}


def test_the_command_runs_without_a_checkout(installed: Path, tmp_path: Path) -> None:
    place = _run(installed / "python", "-c", "import sluice; print(sluice.__file__)", cwd=tmp_path).strip()
    assert Path(place).is_relative_to(installed.parent)
    help_ = _run(installed / "sluice", "--help", cwd=tmp_path)
    assert "migrate" in help_ and "ingest" in help_


def test_it_migrates_and_ingests(stack: EngineStack, installed: Path, tmp_path: Path, name: str) -> None:
    documents = tmp_path / "handbook"
    documents.mkdir()
    (documents / "leave.md").write_text("# Leave\n\nAsk your manager for leave two weeks before it begins.\n")
    (documents / "travel.md").write_text("# Travel\n\nBook trains, not planes, for journeys below six hours.\n")
    with scratch_databases(stack) as scratch:
        env = _environment(stack, scratch, tmp_path)

        def sluice(*arguments: str) -> str:
            return _run(installed / "sluice", *arguments, cwd=tmp_path, env=env)

        sluice("migrate")
        assert _count(scratch, "SELECT count(*) FROM alembic_version") == 1
        with _removed(sluice, name):
            sluice("ingest", documents.as_uri(), "--collection", name)
            assert _count(scratch, "SELECT count(*) FROM versions WHERE state = 'active'") == 2
            result = json.loads(sluice("search", "ask for leave", "--collection", name, "--json"))
            assert result["results"][0]["external_id"] == "leave.md"


@contextmanager
def _removed(sluice: Any, collection: str) -> Iterator[None]:
    """Its points and nodes are in the stores that all tests share."""
    try:
        yield
    finally:
        sluice("collections", "delete", collection, "--apply")


def _environment(stack: EngineStack, scratch: Scratch, home: Path) -> dict[str, str]:
    return {
        **stack.environment,
        "SLUICE_HOME": str(home / "state"),
        "SLUICE_DATABASE_URL": scratch.app_url,
        "SLUICE_DATABASE_OWNER_URL": scratch.owner_url,
        "SLUICE_DATABASE_ANALYST_URL": scratch.analyst_url,
        "SLUICE_KEYS_DATABASE_URL": scratch.keys_url,
        "SLUICE_FILE_ROOTS": str(home),
        "SLUICE_EMBEDDER": "hash:64",
        "SLUICE_ARTEFACTS_URI": (home / "artefacts").as_uri(),
    }


def _count(scratch: Scratch, query: str) -> int:
    with psycopg.connect(libpq(scratch.owner_url)) as connection:
        row = connection.execute(query).fetchone()
    assert row
    return int(row[0])
