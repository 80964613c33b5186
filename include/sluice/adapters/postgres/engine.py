"""One way to reach PostgreSQL: bounded in connections and in time."""

from __future__ import annotations

from sqlalchemy import Engine, create_engine, make_url

from sluice.adapters.postgres import connection_timeouts

_RECYCLE_S = 1800  # below the idle limits of common proxies and firewalls


def make_engine(
    url: str, *, pool_size: int, connect_timeout_s: float, call_timeout_s: float, name: str = "sluice"
) -> Engine:
    """An engine of at most `pool_size` connections. Opens none yet.

    The server ends a statement after `call_timeout_s`, a wait for a lock after half of it and a forgotten transaction
    after twice it; the kernel gives up on a server that is cut off after `call_timeout_s`, and one that hangs is found
    out after that and the time to open a connection. A connection that broke while it was idle is replaced unnoticed.
    `name` is what the server's views show.
    """
    call_ms = max(1, int(call_timeout_s * 1000))
    limits = {
        "statement_timeout": call_ms,
        "lock_timeout": max(1, call_ms // 2),
        "idle_in_transaction_session_timeout": call_ms * 2,
        "random_page_cost": 1.1,  # what these tables are on has no seek time; the default is for spinning disks
        "timezone": "UTC",
    }
    given = make_url(url).query.get("options", "")
    options = [given] if isinstance(given, str) else [*given]
    options += [f"-c {setting}={value}" for setting, value in limits.items()]
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=call_timeout_s,
        pool_pre_ping=True,
        pool_recycle=_RECYCLE_S,
        hide_parameters=True,
        connect_args={
            "connect_timeout": max(2, round(connect_timeout_s)),  # libpq knows whole seconds, and no less than 2
            "application_name": name,
            "options": " ".join(options).strip(),
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": call_ms,
        },
    )
    connection_timeouts.watch(engine, call_timeout_s)
    return engine
