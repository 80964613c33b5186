"""Command line of the embedded Qdrant server."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from devstack.qdrant_server.server import Application
from devstack.qdrant_server.store import StorageError, Store

KEY_VARIABLE = "QDRANT__SERVICE__API_KEY"
_DRAIN_S = 5


class _Server(uvicorn.Server):
    """Ends with code 0 on SIGTERM and SIGINT; uvicorn would let the signal end the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Returns 0 after a clean end, 1 where the server cannot start."""
    parser = argparse.ArgumentParser(prog="python -m devstack.qdrant_server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=6333, help="port to listen on (default %(default)s)")
    parser.add_argument("--storage", type=Path, required=True, help="folder for collections, made where missing")
    parser.add_argument("--api-key-file", type=Path, help=f"file with the API key; else ${KEY_VARIABLE}; else open")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        key = options.api_key_file.read_text().strip() if options.api_key_file else os.environ.get(KEY_VARIABLE)
        options.storage.mkdir(parents=True, exist_ok=True)
        listener = socket.create_server((options.host, options.port), backlog=2048)
        with listener:
            store = Store(options.storage.resolve())
            _serve(Application(store, key or None), listener)
    except (OSError, StorageError, ValueError) as error:
        print(f"qdrant_server cannot start on {options.host}:{options.port}: {error}", file=sys.stderr)
        return 1
    return 0


def _serve(application: Application, listener: socket.socket) -> None:
    config = uvicorn.Config(
        application,
        lifespan="on",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=_DRAIN_S,
        server_header=False,
    )
    _Server(config).run(sockets=[listener])


if __name__ == "__main__":
    sys.exit(main())
