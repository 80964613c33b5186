"""Qdrant: a real server if `SLUICE_QDRANT_BIN` names one, else the embedded server."""

import os
import sys
from pathlib import Path

import httpx

from devstack.config import LOCALHOST, Config
from devstack.credentials import Credentials
from devstack.errors import DevstackError
from devstack.service import Command, Service

BINARY_SETTING = "SLUICE_QDRANT_BIN"


def service(config: Config, credentials: Credentials) -> Service:
    """The service `qdrant`."""
    ports = {"SLUICE_PORT_QDRANT": config.ports.qdrant}
    if config.given(BINARY_SETTING):
        ports["SLUICE_PORT_QDRANT_GRPC"] = config.ports.qdrant_grpc
    return Service(
        name="qdrant",
        ports=ports,
        left_out="SLUICE_QDRANT_URL is set" if "SLUICE_QDRANT_URL" in credentials.external else None,
        check=lambda: _check(config),
        depends_on=(BINARY_SETTING,),
        prepare=lambda context: _prepare(config, credentials),
        ready=lambda: _ready(credentials),
        stop_timeout_s=20.0,
    )


def _check(config: Config) -> None:
    binary = config.given(BINARY_SETTING)
    if binary and not (Path(binary).is_file() and os.access(binary, os.X_OK)):
        raise DevstackError(f"{BINARY_SETTING}={binary} is not an executable file. Correct or unset it.")


def _prepare(config: Config, credentials: Credentials) -> Command:
    key = {"QDRANT__SERVICE__API_KEY": credentials.secrets["SLUICE_QDRANT_API_KEY"]}
    binary = config.given(BINARY_SETTING)
    # The two servers have different file formats, so each has its own folder.
    folder = config.home / ("qdrant" if binary else "qdrant-embedded")
    folder.mkdir(parents=True, exist_ok=True)
    if not binary:
        where = ("--host", LOCALHOST, "--port", str(config.ports.qdrant), "--storage", str(folder / "storage"))
        return Command((sys.executable, "-m", "devstack.qdrant_server", *where), folder, key)
    env = {
        **key,
        "QDRANT__SERVICE__HOST": LOCALHOST,
        "QDRANT__SERVICE__HTTP_PORT": str(config.ports.qdrant),
        "QDRANT__SERVICE__GRPC_PORT": str(config.ports.qdrant_grpc),
        "QDRANT__STORAGE__STORAGE_PATH": str(folder / "storage"),
        "QDRANT__STORAGE__SNAPSHOTS_PATH": str(folder / "snapshots"),
        "QDRANT__TELEMETRY_DISABLED": "true",
        "QDRANT__LOG_LEVEL": "WARN",
    }
    return Command((str(Path(binary).resolve()),), folder, env)


def _ready(credentials: Credentials) -> bool:
    url = credentials.urls["SLUICE_QDRANT_URL"]
    headers = {"api-key": credentials.secrets["SLUICE_QDRANT_API_KEY"]}
    try:
        if not httpx.get(f"{url}/readyz", timeout=1.0).is_success:
            return False
        reply = httpx.get(f"{url}/collections", headers=headers, timeout=5.0)
    except httpx.HTTPError:
        return False
    if reply.status_code in (401, 403):
        raise DevstackError(
            f"Qdrant at {url} rejects the key in credentials.env: it was started with another key. Restore that file, "
            "or run `make down` and `make up`."
        )
    return reply.is_success
