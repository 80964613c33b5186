"""Postgres, Valkey and Qdrant for real: started, killed, started again on what the killed ones left, and ended."""

import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
import redis

from devstack import Config, DevstackError, Stack, ports, processes, runner

ENGINES = ["postgres", "redis", "qdrant"]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stored = {name: os.environ[name] for name in ("PATH", "HOME", "SLUICE_QDRANT_BIN") if name in os.environ}
    stack = Stack(Config.from_env(ROOT, {**stored, **ports.free_settings(), "SLUICE_HOME": str(tmp_path / "home")}))
    yield stack
    stack.clean()
    assert stack.data_folders() == []


def quietly(line: str) -> None:
    pass


def pids_of(stack: Stack) -> dict[str, int]:
    records = {name: runner.record(stack.config, name) for name in runner.recorded_names(stack.config)}
    return {name: record.pid for name, record in records.items() if record and processes.lives(record)}


def put_something_everywhere(stack: Stack) -> None:
    output = stack.environment()
    with psycopg.connect(output["SLUICE_DATABASE_OWNER_URL"].replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 41 AS value")
    headers = {"api-key": output["SLUICE_QDRANT_API_KEY"]}
    body = {"vectors": {"size": 4, "distance": "Cosine"}}
    httpx.put(
        f"{output['SLUICE_QDRANT_URL']}/collections/kept", json=body, headers=headers, timeout=30
    ).raise_for_status()


def find_it_everywhere(stack: Stack) -> None:
    output = stack.environment()
    with psycopg.connect(output["SLUICE_DATABASE_OWNER_URL"].replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT value FROM kept").fetchone() == (41,)
    headers = {"api-key": output["SLUICE_QDRANT_API_KEY"]}
    reply = httpx.get(f"{output['SLUICE_QDRANT_URL']}/collections/kept", headers=headers, timeout=10)
    assert reply.is_success
    assert redis.Redis.from_url(output["SLUICE_REDIS_URL"]).ping()


def test_engines_survive_a_kill_and_down_leaves_nothing(stack: Stack) -> None:
    lines: list[str] = []
    stack.up(ENGINES, lines.append)
    assert {line.split(" … ")[0] for line in lines if "ready in" in line} == set(ENGINES)
    put_something_everywhere(stack)
    first = pids_of(stack)

    stack.up(ENGINES, lines.append)
    assert pids_of(stack) == first, "a second start touches nothing that runs"

    for pid in first.values():
        os.kill(pid, signal.SIGKILL)
    # What a pid file names after a reboot: a process of someone else's. It must not be taken for ours.
    bystander = psutil.Process(os.getppid())
    record = runner.record(stack.config, "redis")
    assert record
    replace(record, pid=bystander.pid).write(runner.run_folder(stack.config) / "redis.pid")
    stack.up(ENGINES, quietly)
    assert bystander.is_running()
    find_it_everywhere(stack)
    assert {service.state for service in stack.status() if service.name in ENGINES} == {"running"}

    last = pids_of(stack)
    stack.down()
    assert not [pid for pid in (*first.values(), *last.values()) if processes.start_time(pid)]
    assert not [process for process in psutil.process_iter() if str(stack.config.home) in _command_line(process)]
    for port in vars(stack.config.ports).values():
        if port > 20000:
            socket.create_server(("127.0.0.1", port)).close()


def test_roles_see_only_their_own_database(stack: Stack) -> None:
    stack.up(["postgres"], quietly)
    output = stack.environment()
    app = output["SLUICE_DATABASE_URL"].replace("+psycopg", "")
    with psycopg.connect(app) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("sluice_app",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE public.mine (x int)")
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(app.rsplit("/", 1)[0] + "/sluice_keys")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(app, password="wrong")


def test_a_taken_port_stops_the_start_before_it_begins(stack: Stack) -> None:
    with (
        socket.create_server(("127.0.0.1", stack.config.ports.redis)),
        pytest.raises(DevstackError, match=f"Port {stack.config.ports.redis} for redis is taken .*SLUICE_PORT_REDIS"),
    ):
        stack.up(ENGINES, quietly)
    assert pids_of(stack) == {}
    assert not (stack.config.home / "qdrant").exists()


def test_lost_credentials_are_told(stack: Stack) -> None:
    stack.up(["postgres"], quietly)
    stack.down()
    (stack.config.home / "credentials.env").unlink()
    with pytest.raises(DevstackError, match=r"another password than .*credentials\.env"):
        stack.up(["postgres"], quietly)
    assert pids_of(stack) == {}


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
