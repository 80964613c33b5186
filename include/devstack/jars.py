"""Downloads Neo4j's jars from Maven Central by a pinned list, once for all checkouts on the machine."""

import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import httpx

from devstack.config import Config
from devstack.errors import DevstackError

VERSION = "5.26.22"
LIST = Path(__file__).parent / "neo4j_jars.txt"
CONNECTIONS = 8
TRIES = 3


@dataclass(frozen=True)
class Jar:
    """One line of the list: coordinates and the SHA-256 of the file."""

    group: str
    artifact: str
    version: str
    classifier: str
    sha256: str

    @classmethod
    def parse(cls, line: str) -> "Jar":
        coordinates, sha256 = line.split()
        group, artifact, version, *classifier = coordinates.split(":")
        return cls(group, artifact, version, classifier[0] if classifier else "", sha256)

    @property
    def file_name(self) -> str:
        return "-".join(filter(None, (self.artifact, self.version, self.classifier))) + ".jar"

    def url(self, mirror: str) -> str:
        return f"{mirror}/{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.file_name}"


def pinned() -> list[Jar]:
    """The jars of the list."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    return [Jar.parse(line) for line in lines if line and not line.startswith("#")]


def folder(config: Config) -> Path:
    """The folder of the jars."""
    return config.cache / f"neo4j-{VERSION}" / "lib"


def missing(config: Config) -> list[Jar]:
    """The pinned jars that are not in the cache. A jar is renamed to its final name only after its hash was checked."""
    return [jar for jar in pinned() if not (folder(config) / jar.file_name).is_file()]


def check(config: Config) -> None:
    """Raises DevstackError if a jar is missing and the mirror does not have it."""
    absent = missing(config)
    if not absent:
        return
    try:
        httpx.head(absent[0].url(config.maven_mirror), timeout=15, follow_redirects=True).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DevstackError(_unreachable(config, len(absent), error)) from error


def fetch(config: Config, on_progress: Callable[[int, int], None] = lambda done, total: None) -> None:
    """Downloads the missing jars, several at a time. Complete jars stay after an error, so a second try continues.

    on_progress gets (jars done, jars to do). Raises DevstackError.
    """
    absent = missing(config)
    target = folder(config)
    target.mkdir(parents=True, exist_ok=True)
    with httpx.Client(timeout=60, follow_redirects=True) as client, ThreadPoolExecutor(CONNECTIONS) as pool:
        jobs = [pool.submit(_fetch_one, client, jar, config.maven_mirror, target) for jar in absent]
        try:
            for done, job in enumerate(as_completed(jobs), start=1):
                job.result()
                on_progress(done, len(jobs))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise DevstackError(_unreachable(config, len(missing(config)), error)) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _fetch_one(client: httpx.Client, jar: Jar, mirror: str, target: Path) -> None:
    url = jar.url(mirror)
    for tries_left in reversed(range(TRIES)):
        try:
            reply = client.get(url)
            reply.raise_for_status()
            break
        except httpx.HTTPError as error:
            permanent = isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500
            if permanent or not tries_left:
                raise
    sha256 = hashlib.sha256(reply.content).hexdigest()
    if sha256 != jar.sha256:
        raise DevstackError(
            f"{url} is not the pinned file (SHA-256 {sha256}, expected {jar.sha256}). It was discarded. "
            "Use another SLUICE_MAVEN_MIRROR, or leave the graph out with SLUICE_GRAPH=off."
        )
    draft = target / f"{jar.file_name}.{os.getpid()}-{threading.get_ident()}.part"
    draft.write_bytes(reply.content)
    draft.replace(target / jar.file_name)


def _unreachable(config: Config, count: int, error: Exception) -> str:
    return (
        f"Neo4j cannot be downloaded: {count} jars are not in {folder(config)} and {config.maven_mirror} does not "
        f"provide them ({error}). Connect to the network or set SLUICE_MAVEN_MIRROR; or set SLUICE_NEO4J_URI to your "
        "own server; or leave the graph out with SLUICE_GRAPH=off."
    )
