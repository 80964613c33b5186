"""Redis or Valkey. Today only asked how it is; caches and limits of the query service will live in it."""

from __future__ import annotations

from sluice.adapters.importing import without
from sluice.errors import Unavailable


def ping(url: str, timeout_s: float) -> str:
    """The server's version. Raises Unavailable."""
    with without("opentelemetry.sdk", "opentelemetry.sdk.metrics"):  # metrics that nobody reads: half of the time
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
