"""The health check of Redis or Valkey. `redis_cache` has the cache."""

from __future__ import annotations

from sluice.adapters.importing import without
from sluice.errors import Unavailable


def ping(url: str, timeout_s: float) -> str:
    """Returns the server's version. Raises Unavailable."""
    with without("opentelemetry.sdk", "opentelemetry.sdk.metrics"):  # unused metrics; half of the import time
        import redis

    client = redis.Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s)
    try:
        info = client.info("server")
    except redis.RedisError as error:
        raise Unavailable("Redis", f"{type(error).__name__}") from error
    finally:
        client.close()
    name = "Valkey" if "valkey_version" in info else "Redis"
    return f"{name} {info.get('valkey_version') or info['redis_version']}"
