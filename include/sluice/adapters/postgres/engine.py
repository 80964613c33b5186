"""SQLAlchemy engines for PostgreSQL with limits on connections and time."""

from __future__ import annotations

from sqlalchemy import Engine, create_engine, make_url

from sluice.adapters.postgres import connection_timeouts

_RECYCLE_S = 1800  # below the idle limits of common proxies and firewalls


def make_engine(
    url: str, *, pool_size: int, connect_timeout_s: float, call_timeout_s: float, name: str = "sluice"
) -> Engine:
    """Returns an engine of at most `pool_size` connections. Opens none yet.

    The server cancels a statement after `call_timeout_s`, a wait for a lock after half of that and an idle transaction
    after twice that. The kernel closes connections to an unreachable server after `call_timeout_s`; a hung server is
    detected after that plus the time to open a connection. A connection that broke while idle is replaced
    automatically. `name` appears in the server's views.
    """
    call_ms = max(1, int(call_timeout_s * 1000))
    limits = {
        "statement_timeout": call_ms,
        "lock_timeout": max(1, call_ms // 2),
        "idle_in_transaction_session_timeout": call_ms * 2,
        "random_page_cost": 1.1,  # for SSDs, which have no seek time; the default is for spinning disks
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
