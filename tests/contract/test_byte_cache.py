"""The shared cache of searches: in memory, and on Redis with all that can go wrong there."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Thread
from uuid import uuid4

import pytest
import redis

from sluice.adapters.redis_cache import RedisCache
from sluice.errors import Unavailable
from sluice.ports.byte_cache import ByteCache
from support.byte_caches import MemoryCache, Valkey, valkey
from support.engines import EngineStack
from support.waiting import wait_until

TIMEOUT_S = 0.3


class ByteCacheContract:
    @pytest.fixture
    def key(self) -> str:
        return f"tests:{uuid4()}"

    def test_bytes_come_back_as_they_were(self, cache: ByteCache, key: str) -> None:
        assert cache.get(key) is None
        for value in (b"", b"\x00\xff\r\n", bytes(range(256)) * 4000):
            cache.put(key, value, 60)
            assert cache.get(key) == value

    def test_an_entry_ends_with_its_time(self, cache: ByteCache, key: str) -> None:
        cache.put(key, b"short", 0.05)
        wait_until(lambda: cache.get(key) is None, "the entry did not end", timeout_s=5)
        cache.put(key, b"shorter than a millisecond", 1e-9)
        wait_until(lambda: cache.get(key) is None, "the entry did not end", timeout_s=5)

    def test_one_of_many_callers_holds_a_lock(self, cache: ByteCache, key: str) -> None:
        barrier, taken = Barrier(8), []

        def take() -> None:
            barrier.wait()
            taken.append(cache.lock(key, 60))

        threads = [Thread(target=take) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(20)
        (release,) = [each for each in taken if each]
        assert cache.lock(key, 60) is None
        release()
        assert cache.lock(key, 60) is not None

    def test_a_lock_ends_by_itself_and_a_late_release_ends_no_other(self, cache: ByteCache, key: str) -> None:
        first = cache.lock(key, 0.05)
        assert first is not None
        second = None
        deadline = time.monotonic() + 5
        while second is None and time.monotonic() < deadline:
            second = cache.lock(key, 60)
        assert second is not None
        first()
        assert cache.lock(key, 60) is None
        second()
        second()


class TestMemoryCache(ByteCacheContract):
    @pytest.fixture
    def cache(self) -> ByteCache:
        return MemoryCache()


class TestRedisCache(ByteCacheContract):
    @pytest.fixture
    def cache(self, stack: EngineStack) -> Iterator[ByteCache]:
        cache = RedisCache(stack.environment["SLUICE_REDIS_URL"], 5.0)
        yield cache
        cache.close()


# --- a server that fails


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    with valkey(tmp_path) as server:
        yield server


@pytest.fixture
def cache(server: Valkey) -> Iterator[RedisCache]:
    cache = RedisCache(server.url, TIMEOUT_S)
    cache.put("known", b"1", 60)
    yield cache
    cache.close()


def every_call_fails(cache: RedisCache, within_s: float) -> None:
    for call in (lambda: cache.get("known"), lambda: cache.put("k", b"v", 1), lambda: cache.lock("l", 1)):
        began = time.monotonic()
        with pytest.raises(Unavailable, match="Redis"):
            call()
        assert time.monotonic() - began < within_s


def test_a_stopped_server_fails_at_once_and_a_new_one_is_used(server: Valkey, cache: RedisCache) -> None:
    server.stop()
    every_call_fails(cache, TIMEOUT_S)
    server.start()
    assert cache.get("known") is None
    cache.put("known", b"2", 60)
    assert cache.get("known") == b"2"


def test_a_restart_between_two_calls_is_not_noticed(server: Valkey, cache: RedisCache) -> None:
    server.stop()
    server.start()
    assert cache.get("known") is None


def test_a_hung_server_fails_in_time_and_is_used_when_it_goes_on(server: Valkey, cache: RedisCache) -> None:
    server.process.send_signal(signal.SIGSTOP)
    try:
        every_call_fails(cache, 3 * TIMEOUT_S)
    finally:
        server.process.send_signal(signal.SIGCONT)
    assert cache.get("known") == b"1"


def test_a_release_that_fails_says_so(server: Valkey, cache: RedisCache) -> None:
    release = cache.lock("l", 60)
    assert release is not None
    server.stop()
    with pytest.raises(Unavailable):
        release()


def test_a_wrong_password(server: Valkey) -> None:
    every_call_fails(RedisCache(server.url.replace(server.password, "wrong"), TIMEOUT_S), TIMEOUT_S)


def test_a_full_server_that_evicts_nothing_is_still_read(server: Valkey, cache: RedisCache) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", "1")
    with pytest.raises(Unavailable):
        cache.put("k", b"v" * 1000, 60)
    assert cache.get("known") == b"1"


def test_an_evicting_server_loses_entries_and_nothing_else(server: Valkey, cache: RedisCache) -> None:
    with redis.Redis.from_url(server.url) as client:
        used = client.info("memory")["used_memory"]
        client.config_set("maxmemory-policy", "volatile-lru")
        client.config_set("maxmemory", used + 3_000_000)
    for number in range(100):
        cache.put(f"k{number}", bytes([number]) * 100_000, 60)
    kept = [number for number in range(100) if cache.get(f"k{number}") == bytes([number]) * 100_000]
    assert 0 < len(kept) < 100
    assert all(cache.get(f"k{number}") is None for number in set(range(100)) - set(kept))
