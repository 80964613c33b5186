"""Starts one part's process, recognises it after a crash, and stops it."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from devstack import environment, processes
from devstack.config import Config
from devstack.credentials import Credentials
from devstack.errors import DevstackError
from devstack.part import Part, StartContext
from devstack.processes import Record


@dataclass(frozen=True)
class PartStatus:
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
    """The record of the part's last start."""
    return Record.read(_pid_file(config, name))


def recorded_names(config: Config) -> list[str]:
    """The parts that have a pid file."""
    return sorted(path.stem for path in run_folder(config).glob("*.pid"))


def marker(config: Config, name: str) -> str:
    """The value that marks the part's processes in their environment."""
    return f"{config.home}:{name}"


def launch(config: Config, secrets: Credentials, part: Part, context: StartContext) -> Record | None:
    """Prepare a part and start its process, if it has one."""
    command = part.prepare(context)
    context.check()
    if command is None:
        return None
    variables = environment.for_processes(config, secrets)
    started = processes.spawn(
        part.name,
        command.argv,
        env={**environment.inherited(config, os.environ), **variables, **command.env},
        workdir=command.workdir,
        log=config.log(part.name),
        ports=tuple(part.ports.values()),
        fingerprint=fingerprint(config, secrets, part),
        user=command.user,
        marker=marker(config, part.name),
    )
    started.write(_pid_file(config, part.name))
    return started


def is_up(config: Config, secrets: Credentials, part: Part) -> bool:
    """Returns whether the part runs, answers, and was started with the present settings."""
    known = record(config, part.name)
    as_recorded = known is not None and processes.lives(known)
    as_wanted = known is not None and known.fingerprint == fingerprint(config, secrets, part)
    if not part.one_shot and not (as_recorded and as_wanted):
        return False
    try:
        return part.ready()
    except DevstackError:
        return False


def end(config: Config, part: Part) -> list[int]:
    """Stops the part's processes, also those that a killed run left behind. Returns the pids that survived."""
    # Without a record (killed before it was written), only the marker identifies the processes.
    known = record(config, part.name) or Record(part.name, 0, "", "", (), str(config.home))
    mark = marker(config, part.name)
    processes.stop(
        known, mark, signals=part.stop_signals, to_all=part.stop_signals_to_all, timeout_s=part.stop_timeout_s
    )
    survivors = processes.members(known, mark)
    if not survivors:
        _pid_file(config, part.name).unlink(missing_ok=True)
    return survivors


def status(config: Config, part: Part) -> PartStatus:
    """The part's state now."""
    known, ports = record(config, part.name), dict(part.ports)
    if part.left_out:
        return PartStatus(part.name, "left out", part.left_out, None, {})
    if part.one_shot:
        return PartStatus(part.name, "done" if part.ready() else "not done", "", None, ports)
    if known is None or not processes.lives(known):
        return PartStatus(part.name, "stopped", "", None, ports)
    try:
        state, detail = ("running" if part.ready() else "not ready"), ""
    except DevstackError as error:
        state, detail = "not ready", str(error)
    return PartStatus(part.name, state, detail, known.pid, ports)


def fingerprint(config: Config, secrets: Credentials, part: Part) -> str:
    """A hash of the ports, programs and settings that affect the part's start."""
    facts = {
        "root": str(config.root),
        "ports": dict(part.ports),
        "given": {name: config.given(name) for name in part.depends_on},
        "told": environment.effective(config, secrets) if part.reads_environment else {},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _pid_file(config: Config, name: str) -> Path:
    return run_folder(config) / f"{name}.pid"
