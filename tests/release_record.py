"""Writes the recordings of this release anew: a deliberate change, which belongs in CHANGELOG.md.

    PYTHONPATH=include:tests python tests/release_record.py [openapi|commands|settings|dags ...]

Without an argument it writes all of them. Older releases' recordings are never written anew.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import release_recordings

TESTS = Path(__file__).resolve().parent
SURFACES = ("openapi", "commands", "settings", "dags")


def main(names: list[str]) -> None:
    from sluice import __version__

    for name in names or SURFACES:
        if name not in SURFACES:
            sys.exit(f"There is no recording {name}; there are {', '.join(SURFACES)}.")
        print(release_recordings.write(__version__, name, surface(name)).relative_to(TESTS.parent))


def surface(name: str) -> object:
    command = [sys.executable, str(TESTS / "release_surface.py"), name]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=180, check=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main(sys.argv[1:])
