"""The cache of the query service in Redis or Valkey."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import cast

from sluice.adapters.importing import without
from sluice.errors import Slow, Unavailable

with without("opentelemetry.sdk", "opentelemetry.sdk.metrics"):  # unused metrics; half of the import time
    import redis
    from redis.backoff import NoBackoff
    from redis.exceptions import LockError
    from redis.retry import Retry


class RedisCache:
    """`sluice.ports.byte_cache.ByteCache`. A call takes at most `timeout_s` to connect and `timeout_s` for the answer.

    A connection that the server has closed (a restart) is opened again once; nothing else is retried, because callers
    wait."""

    def __init__(self, url: str, timeout_s: float) -> None:
        again = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
        self._client = redis.Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=again, decode_responses=False
        )

    def get(self, key: str) -> bytes | None:
        with _translated():
            value = self._client.get(key)
        return cast("bytes | None", value)  # not decoded

    def put(self, key: str, value: bytes, ttl_s: float) -> None:
        with _translated():
            self._client.set(key, value, px=max(1, int(ttl_s * 1000)))

    def lock(self, key: str, ttl_s: float) -> Callable[[], None] | None:
        lock = self._client.lock(key, timeout=ttl_s, blocking=False, thread_local=False)
        with _translated():
            return partial(_release, lock) if lock.acquire() else None

    def close(self) -> None:
        self._client.close()


def _release(lock: redis.lock.Lock) -> None:
    with _translated(), suppress(LockError):  # it ended by itself, and another caller may hold it
        lock.release()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except redis.TimeoutError as error:
        raise Slow("Redis", type(error).__name__) from error
    except redis.RedisError as error:
        raise Unavailable("Redis", type(error).__name__) from error
