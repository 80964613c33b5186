"""Writes the recordings of this release anew: a deliberate change, which belongs in CHANGELOG.md.

    PYTHONPATH=include:tests python -m support.release_record [openapi|commands|settings|dags|decisions|answers ...]

Without an argument it writes all of them. Older releases' recordings are never written anew.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from conftest import HOMES, ROOT
from devstack import Config, Stack, ports
from support import release_recordings
from support.engines import EngineStack
from support.scratch_databases import scratch_databases

TESTS = Path(__file__).resolve().parents[1]
SURFACES = ("openapi", "commands", "settings", "dags")


def main(names: list[str]) -> None:
    from sluice import __version__

    for name in names or RECORDINGS:
        if name not in RECORDINGS:
            sys.exit(f"There is no recording {name}; there are {', '.join(RECORDINGS)}.")
        print(release_recordings.write(__version__, name, RECORDINGS[name]()).relative_to(TESTS.parent))


def surface(name: str) -> object:
    command = [sys.executable, str(TESTS / "support" / "release_surface.py"), name]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=180, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def decisions() -> object:
    """Of the rules, and of the routes of a service over a ledger of its own."""
    from support import release_decisions
    from support.api_service import worlds
    from support.ledger_copies import ledger_copies

    with engines() as (stack, _), ledger_copies(stack) as copies, worlds(copies) as make, make() as world:
        return release_decisions.decisions(world)


def answers() -> object:
    """Of two runs, so that what differs between runs is not taken for a promise."""
    from support.release_answers import answers, merged

    runs = []
    with engines() as (stack, work):
        for collection in ("one", "other"):
            (work / collection).mkdir()
            with scratch_databases(stack) as scratch:
                runs.append(answers(scratch.environment(stack), work / collection, f"r{collection}"))
    first, second = runs
    return {name: merged(first[name], second[name], name) for name in first}


@contextmanager
def engines() -> Iterator[tuple[EngineStack, Path]]:
    with tempfile.TemporaryDirectory(prefix="sluice-release-") as folder:
        work = Path(folder)
        stack = Stack(Config.from_env(ROOT, {**os.environ, "SLUICE_HOME": str(work / "home"), **ports.free_settings()}))
        try:
            stack.up(["engines"], lambda line: print(line, file=sys.stderr))
            yield EngineStack(stack.environment(), stack), work
        finally:
            stack.clean()


RECORDINGS: dict[str, Callable[[], object]] = {
    **{name: partial(surface, name) for name in SURFACES},
    "decisions": decisions,
    "answers": answers,
}


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    finally:
        shutil.rmtree(HOMES, ignore_errors=True)  # made by conftest
