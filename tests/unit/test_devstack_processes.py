"""Real processes: what is ours is found and ended, what is not is left alone."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devstack import processes
from devstack.processes import Record
from support.waiting import wait_until

FAMILY = """
import os, subprocess, sys, time
quiet = [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"]
ways = {"child": {}, "group": {"process_group": 0}, "session": {"start_new_session": True}}
for way, how in ways.items():
    print(way, subprocess.Popen(quiet, **how).pid, flush=True)
print("ready", os.getpid(), flush=True)
time.sleep(300)
"""


@pytest.fixture
def family(tmp_path: Path) -> Iterator[tuple[Record, dict[str, int]]]:
    """A process with a child, one in a group and one in a session of its own; all of them ignore SIGTERM."""
    log = tmp_path / "family.log"
    record = processes.spawn(
        "family",
        [sys.executable, "-c", FAMILY],
        env=dict(os.environ),
        workdir=tmp_path,
        log=log,
        marker=str(tmp_path),
    )
    wait_until(lambda: "ready" in log.read_text(), "the family did not start")
    pids = {line.split()[0]: int(line.split()[1]) for line in log.read_text().splitlines()[1:]}
    yield record, pids
    for pid in pids.values():
        if processes.start_time(pid):
            os.kill(pid, signal.SIGKILL)


def alive(pids: dict[str, int]) -> set[str]:
    return {name for name, pid in pids.items() if processes.start_time(pid)}


def test_members_are_found_in_every_group_and_session(family: tuple[Record, dict[str, int]], tmp_path: Path) -> None:
    record, pids = family
    assert set(processes.members(record, str(tmp_path))) == set(pids.values())


def test_stop_ends_the_whole_family(family: tuple[Record, dict[str, int]], tmp_path: Path) -> None:
    record, pids = family
    processes.stop(record, str(tmp_path), signals=(signal.SIGTERM,), to_all=True, timeout_s=0.3)
    assert alive(pids) == set()


def test_orphans_of_a_killed_leader_are_ended(family: tuple[Record, dict[str, int]], tmp_path: Path) -> None:
    record, pids = family
    os.kill(record.pid, signal.SIGKILL)
    wait_until(lambda: not processes.lives(record), "the leader did not end")
    assert alive(pids) == {"child", "group", "session"}
    processes.stop(record, str(tmp_path), signals=(signal.SIGTERM,), to_all=False, timeout_s=0.3)
    assert alive(pids) == set()


def test_a_recycled_pid_is_never_signalled(family: tuple[Record, dict[str, int]]) -> None:
    record, pids = family
    earlier = replace(record, started="another boot:1")
    assert not processes.lives(earlier)
    processes.stop(earlier, "nobody's marker", signals=(signal.SIGKILL,), to_all=False, timeout_s=0.1)
    assert "ready" in alive(pids)


def test_an_unrelated_process_is_no_member(family: tuple[Record, dict[str, int]], tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], cwd=tmp_path)
    try:
        assert stranger.pid not in processes.members(family[0], str(tmp_path))
    finally:
        stranger.kill()
        stranger.wait()


def test_records_survive_the_file_and_cut_files_count_as_none(tmp_path: Path) -> None:
    record = Record("redis", 12, "boot:34", "abc", (6379,), "/somewhere")
    file = tmp_path / "run" / "redis.pid"
    record.write(file)
    assert Record.read(file) == record
    file.write_text(file.read_text().replace('"service"', '"part"'))  # as releases up to 0.4 wrote it
    assert Record.read(file) == record
    file.write_text(file.read_text()[:20])
    assert Record.read(file) is None
    assert Record.read(tmp_path / "none.pid") is None


def test_an_ended_child_is_not_alive_although_nobody_waited_for_it(tmp_path: Path) -> None:
    record = processes.spawn(
        "brief", ["/bin/sh", "-c", "exit 3"], env={}, workdir=tmp_path, log=tmp_path / "log", marker="m"
    )
    wait_until(lambda: not processes.lives(record), "it counts as alive")
    assert processes.exit_code(record) == 3
