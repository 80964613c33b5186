"""Starts Qdrant servers for tests, the embedded one and the real one, each on a free port in a folder of the test."""

import os
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from qdrant_client import QdrantClient

from devstack import ports

REAL_BINARY = os.environ.get("SLUICE_QDRANT_BIN", "")
API_KEY = "a-key-for-tests"
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 20.0
_INCLUDE = Path(__file__).resolve().parents[2] / "include"


@dataclass
class Server:
    """A running server. `start` may be called again after `kill` or `stop`, on the same files."""

    name: str
    command: list[str]
    folder: Path
    port: int
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "Server":
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, env={**os.environ, **self.env}, stdout=log, stderr=log
            )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=1.0).is_success:
                    return self
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError(f"{self.name} did not start: {(self.folder / f'{self.name}.log').read_text()[-2000:]}")

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(_STOP_TIMEOUT_S)
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL, as a crash would be."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(_STOP_TIMEOUT_S)

    def client(self) -> QdrantClient:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # "Api key is used with an insecure connection."
            return QdrantClient(url=self.url, api_key=API_KEY, timeout=30, check_compatibility=False)


def given_client() -> QdrantClient | None:
    """Of the server that an external stack names, which may be emptied."""
    url = os.environ.get("SLUICE_QDRANT_URL")
    if not url or os.environ.get("SLUICE_TEST_STACK") != "external":
        return None
    return QdrantClient(url=url, api_key=os.environ.get("SLUICE_QDRANT_API_KEY"), timeout=30, check_compatibility=False)


def embedded(folder: Path) -> Server:
    """The embedded server, not yet started."""
    (port,) = ports.free(1)
    place = ["--host", "127.0.0.1", "--port", str(port), "--storage", str(folder / "storage")]
    env = {"PYTHONPATH": str(_INCLUDE), "QDRANT__SERVICE__API_KEY": API_KEY}
    return Server("embedded", [sys.executable, "-m", "devstack.qdrant_server", *place], folder, port, env)


def real(folder: Path) -> Server:
    """The real server of `SLUICE_QDRANT_BIN`, not yet started."""
    port, grpc_port = ports.free(2)
    env = {
        "QDRANT__SERVICE__HOST": "127.0.0.1",
        "QDRANT__SERVICE__HTTP_PORT": str(port),
        "QDRANT__SERVICE__GRPC_PORT": str(grpc_port),
        "QDRANT__STORAGE__STORAGE_PATH": str(folder / "real-storage"),
        "QDRANT__STORAGE__SNAPSHOTS_PATH": str(folder / "real-snapshots"),
        "QDRANT__TELEMETRY_DISABLED": "true",
        "QDRANT__SERVICE__API_KEY": API_KEY,
        "QDRANT__LOG_LEVEL": "WARN",
    }
    return Server("real", [REAL_BINARY], folder, port, env)
