"""Servers on this machine that the readers of sources are tested with."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from sluice.ports.readers import Connection
from sluice.sources.context import HttpPolicy, SourceContext
from sluice.sources.s3 import make_client


class S3Server:
    """moto's, over HTTP on a free port. Each has buckets of its own."""

    def __enter__(self) -> S3Server:
        import logging

        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.endpoint = f"http://{host}:{port}"
        self.client: Any = make_client(self.connection(), self.reach())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()

    def connection(self, **extra: Any) -> Connection:
        return Connection(login="key", password="secret", extra={"endpoint_url": self.endpoint, **extra})

    def reach(self, max_bytes: int = 10_000, **extra: Any) -> SourceContext:
        return SourceContext(
            max_bytes=max_bytes,
            connections={"local": self.connection(**extra)}.__getitem__,
            connect_timeout_s=2,
            call_timeout_s=5,
        )

    def new_bucket(self) -> str:
        name = f"b{uuid.uuid4().hex[:16]}"
        self.client.create_bucket(Bucket=name)
        return name


@dataclass(frozen=True)
class Page:
    """What the web server answers. `length`: what it says of the body's length; None: the truth, -1: nothing.
    `trickle`: after the body a byte now and then, until the other side has gone."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    trickle: bool = False


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case


class WebServer:
    """A real one on a free port of this machine. `pages`: path with query → answer, or who makes it."""

    def __init__(self) -> None:
        self.pages: dict[str, Page | Callable[[Asked], Page]] = {}
        self.asked: list[Asked] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> WebServer:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def secure(self, context: ssl.SSLContext) -> None:
        """From now on by TLS."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"

    def reach(self, max_bytes: int = 10_000, fetch_timeout_s: float = 5.0, **web: Any) -> SourceContext:
        web = {"trusted_hosts": (self.host,), "delay_s": 0.0, "backoff_s": 0.01, **web}
        return SourceContext(
            max_bytes=max_bytes,
            connect_timeout_s=2,
            call_timeout_s=2,
            fetch_timeout_s=fetch_timeout_s,
            web=HttpPolicy(**web),
        )

    def paths(self, method: str = "GET") -> list[str]:
        """What was asked for, without robots.txt."""
        return [each.path for each in self.asked if each.method == method and each.path != "/robots.txt"]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                asked = Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()})
                web.asked.append(asked)
                page = web.pages.get(self.path, Page(status=404))
                page = page(asked) if callable(page) else page
                self.send_response(page.status)
                for name, value in page.headers.items():
                    self.send_header(name, value)
                if page.length != -1:
                    self.send_header("Content-Length", str(len(page.body) if page.length is None else page.length))
                if page.length is not None:
                    self.send_header("Connection", "close")
                    self.close_connection = True
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(page.body)
                while page.trickle and self.command != "HEAD":
                    time.sleep(0.05)
                    self.wfile.write(b".")

            do_HEAD = do_GET

            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):  # the other side hung up, as some tests have it
                    super().handle()

            def log_message(self, *args: Any) -> None:
                pass

        return Handler
