"""Processes in their own sessions: started with a log, recorded with their start time, stopped with all children.

After a crash or a reboot the kernel may give the same pid to another process. So a record also holds the boot id and
the start time, and a process with another start time gets no signal.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from devstack import dotenv

# Set in the environment of each process that is started here; its children inherit it.
MARKER = "DEVSTACK_MEMBER"
ORPHANS_TIMEOUT_S = 3.0
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Record:
    """One started process. `fingerprint`: hash of the settings of its start; see `runner.fingerprint`."""

    service: str
    pid: int
    started: str
    fingerprint: str
    ports: tuple[int, ...]
    workdir: str

    @classmethod
    def read(cls, path: Path) -> "Record | None":
        """The record in a pid file; None: there is no file, or it is incomplete."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            name = values.pop("part", None) or values.pop("service")  # "part": written by releases up to 0.4
            return cls(service=name, **{**values, "ports": tuple(values["ports"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        dotenv.write_private_text(path, json.dumps(asdict(self)) + "\n")


def start_time(pid: int) -> str | None:
    """Boot id and start time, which distinguish processes with the same pid. None: no process, or a zombie."""
    _reap(pid)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return _start_time_elsewhere(pid)
    return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"


def spawn(
    service: str,
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    workdir: Path,
    log: Path,
    ports: tuple[int, ...] = (),
    fingerprint: str = "",
    user: str | None = None,
    marker: str,
) -> Record:
    """Starts a process in its own session, with its output appended to `log`. Raises OSError."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        output.write(f"--- {time.strftime('%Y-%m-%dT%H:%M:%S%z')} {service} starts\n".encode())
        output.flush()
        child = subprocess.Popen(
            list(argv),
            env={**env, MARKER: marker},
            cwd=workdir,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=[] if user else None,
        )
    _children[child.pid] = child
    started = start_time(child.pid) or "ended at once"
    return Record(service, child.pid, started, fingerprint, ports, str(workdir))


def lives(record: Record) -> bool:
    """Returns whether the recorded process still runs."""
    return start_time(record.pid) == record.started


def members(record: Record, marker: str) -> list[int]:
    """Pids of all living processes that belong to the recorded one, itself included.

    They are in its session, descend from it, or have the marker. If it is dead, its session number may have been used
    again, so the working directory has to match, too.
    """
    leader_lives = lives(record)
    descendants = _descendants(record.pid) if leader_lives else set()
    pids = []
    for pid in psutil.pids():
        if pid == os.getpid() or start_time(pid) is None:
            continue
        if pid == record.pid:
            belongs = leader_lives
        elif pid in descendants or _marker(pid) == marker:
            belongs = True
        else:
            belongs = _session(pid) == record.pid and (leader_lives or _works_below(pid, record.workdir))
        if belongs:
            pids.append(pid)
    return pids


def stop(record: Record, marker: str, *, signals: Sequence[signal.Signals], to_all: bool, timeout_s: float) -> None:
    """Stops the process and all its members: sends each of `signals` in turn, then KILL.

    `to_all`: send the signals to every member, not to the leader alone. `timeout_s`: wait after each signal.
    """
    for number in signals:
        pids = members(record, marker)
        led = record.pid in pids
        _signal([record.pid] if led and not to_all else pids, number)
        # Without their leader, the members have no work to finish.
        if not pids or wait_until_gone(record, marker, timeout_s if led else min(timeout_s, ORPHANS_TIMEOUT_S)):
            return
    for _ in range(20):
        _signal(members(record, marker), signal.SIGKILL)
        if wait_until_gone(record, marker, 0.5):
            return


def wait_until_gone(record: Record, marker: str, timeout_s: float) -> bool:
    """Waits until no member lives; False: some still live after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while members(record, marker):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def exit_code(record: Record) -> int | None:
    """The exit code of a process that has ended; None: this program did not start it."""
    child = _children.get(record.pid)
    # Not poll(): it returns None while another thread collects the exit code.
    return child.wait(timeout=5) if child else None


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def _reap(pid: int) -> None:
    child = _children.get(pid)
    if child is not None:
        child.poll()


def _start_time_elsewhere(pid: int) -> str | None:
    """For systems without /proc."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error:
        return None


def _descendants(pid: int) -> set[int]:
    try:
        return {child.pid for child in psutil.Process(pid).children(recursive=True)}
    except psutil.Error:
        return set()


def _marker(pid: int) -> str | None:
    try:
        environ: dict[str, str] = psutil.Process(pid).environ()
        return environ.get(MARKER)
    except (psutil.Error, OSError):
        return None


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _works_below(pid: int, folder: str) -> bool:
    try:
        return Path(psutil.Process(pid).cwd()).is_relative_to(folder)
    except (psutil.Error, OSError):
        return False
