"""Starts one service's process, recognises it after a crash, and stops it."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from devstack import environment, processes
from devstack.config import Config
from devstack.credentials import Credentials
from devstack.errors import DevstackError
from devstack.processes import Record
from devstack.service import Service, StartContext


@dataclass(frozen=True)
class ServiceStatus:
    """`state`: running, not ready, stopped, left out; done or not done for what ends by itself."""

    name: str
    state: str
    detail: str
    pid: int | None
    ports: dict[str, int]


def run_folder(config: Config) -> Path:
    """The folder of the pid files."""
    return config.home / "run"


def record(config: Config, name: str) -> Record | None:
    """The record of the service's last start."""
    return Record.read(_pid_file(config, name))


def recorded_names(config: Config) -> list[str]:
    """The services that have a pid file."""
    return sorted(path.stem for path in run_folder(config).glob("*.pid"))


def marker(config: Config, name: str) -> str:
    """The value that marks the service's processes in their environment."""
    return f"{config.home}:{name}"


def launch(config: Config, secrets: Credentials, service: Service, context: StartContext) -> Record | None:
    """Prepare a service and start its process, if it has one."""
    command = service.prepare(context)
    context.check()
    if command is None:
        return None
    variables = environment.for_processes(config, secrets)
    started = processes.spawn(
        service.name,
        command.argv,
        env={**environment.inherited(config, os.environ), **variables, **command.env},
        workdir=command.workdir,
        log=config.log(service.name),
        ports=tuple(service.ports.values()),
        fingerprint=fingerprint(config, secrets, service),
        user=command.user,
        marker=marker(config, service.name),
    )
    started.write(_pid_file(config, service.name))
    return started


def is_up(config: Config, secrets: Credentials, service: Service) -> bool:
    """Returns whether the service runs, answers, and was started with the present settings."""
    known = record(config, service.name)
    as_recorded = known is not None and processes.lives(known)
    as_wanted = known is not None and known.fingerprint == fingerprint(config, secrets, service)
    if not service.one_shot and not (as_recorded and as_wanted):
        return False
    try:
        return service.ready()
    except DevstackError:
        return False


def end(config: Config, service: Service) -> list[int]:
    """Stops the service's processes, also those that a killed run left behind. Returns the pids that survived."""
    # Without a record (killed before it was written), only the marker identifies the processes.
    known = record(config, service.name) or Record(service.name, 0, "", "", (), str(config.home))
    mark = marker(config, service.name)
    processes.stop(
        known, mark, signals=service.stop_signals, to_all=service.stop_signals_to_all, timeout_s=service.stop_timeout_s
    )
    survivors = processes.members(known, mark)
    if not survivors:
        _pid_file(config, service.name).unlink(missing_ok=True)
    return survivors


def status(config: Config, service: Service) -> ServiceStatus:
    """The service's state now."""
    known, ports = record(config, service.name), dict(service.ports)
    if service.left_out:
        return ServiceStatus(service.name, "left out", service.left_out, None, {})
    if service.one_shot:
        return ServiceStatus(service.name, "done" if service.ready() else "not done", "", None, ports)
    if known is None or not processes.lives(known):
        return ServiceStatus(service.name, "stopped", "", None, ports)
    try:
        state, detail = ("running" if service.ready() else "not ready"), ""
    except DevstackError as error:
        state, detail = "not ready", str(error)
    return ServiceStatus(service.name, state, detail, known.pid, ports)


def fingerprint(config: Config, secrets: Credentials, service: Service) -> str:
    """A hash of the ports, programs and settings that affect the service's start."""
    facts = {
        "root": str(config.root),
        "ports": dict(service.ports),
        "given": {name: config.given(name) for name in service.depends_on},
        "environment": environment.effective(config, secrets) if service.reads_environment else {},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _pid_file(config: Config, name: str) -> Path:
    return run_folder(config) / f"{name}.pid"
