"""The Dockerfile, where no engine can build it, and the probes that the containers run."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from devstack import ports
from sluice import __version__
from unit.compose_files import ROOT, STACK, read

SERVICES = read(STACK)["services"]
PROBE = ROOT / "deploy" / "compose" / "healthy.py"


def _instructions() -> list[tuple[str, str]]:
    """(INSTRUCTION, rest) of the Dockerfile in order, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    whole = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(word.upper(), rest) for word, _, rest in (line.partition(" ") for line in whole.splitlines())]


def _stages() -> dict[str, list[tuple[str, str]]]:
    """Name → its instructions, FROM first."""
    stages: dict[str, list[tuple[str, str]]] = {}
    for word, rest in _instructions():
        if word == "FROM":
            stages[rest.split(" AS ")[1]] = []
        list(stages.values())[-1].append((word, rest))
    return stages


def _in(stage: str, word: str) -> list[str]:
    return [rest for each, rest in _stages()[stage] if each == word]


def test_two_stages_on_one_pinned_python() -> None:
    stages = _stages()
    assert [*stages] == ["builder", "runtime"]
    images = {commands[0][1].split(" AS ")[0] for commands in stages.values()}
    assert len(images) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", images.pop())
    assert all(service["build"]["target"] in stages for service in SERVICES.values() if "build" in service)


def test_everything_copied_is_there_and_not_ignored() -> None:
    sources = [
        source
        for stage in _stages()
        for rest in _in(stage, "COPY")
        if "--from=" not in rest
        for source in rest.split()[:-1]
    ]
    assert {"include", "dags", "plugins", "migrations", "requirements.txt"} <= {*sources}
    stored = [line[1:].rstrip("/") for line in _ignore_file() if line.startswith("!")]
    for source in sources:
        assert (ROOT / source).exists(), source
        assert source in stored, f"{source} is left out by .dockerignore"
    assert {*stored} == {*sources}


def test_secrets_and_data_stay_out_of_the_build() -> None:
    patterns = _ignore_file()
    assert patterns[0] == "*"
    for path in ("include/.env", "dags/credentials.env", "include/a/b/master.key", "include/x/__pycache__"):
        assert any(fnmatch(path, pattern.rstrip("/")) for pattern in patterns if pattern.startswith("**")), path


def _ignore_file() -> list[str]:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_the_final_stage_builds_and_installs_nothing() -> None:
    commands = " ".join(_in("runtime", "RUN"))
    assert not re.search(r"\b(apt|apt-get|apk|gcc|g\+\+|make|pip|uv|curl|wget)\b", commands)
    assert [rest.split()[0] for rest in _in("runtime", "COPY")] == ["--from=builder", "--from=builder"]


def test_it_does_not_run_as_root_and_has_a_health_check() -> None:
    stage = _stages()["runtime"]
    assert _in("runtime", "USER") == ["50000:50000"]
    words = [word for word, _ in stage]
    # Whatever writes to the image comes before the change of user.
    assert max(i for i, word in enumerate(words) if word in ("RUN", "COPY")) < words.index("USER")
    (check,) = _in("runtime", "HEALTHCHECK")
    command = json.loads(check.partition("CMD ")[2])
    assert command == SERVICES["api-server"]["healthcheck"]["test"][1:]
    (default,) = _in("runtime", "CMD")
    assert json.loads(default) == SERVICES["api-server"]["command"]


def test_the_lock_is_installed_as_it_stands() -> None:
    (install,) = [rest for rest in _in("builder", "RUN") if "-r requirements.txt" in rest]
    for option in ("--require-hashes", "--no-deps", "--no-build"):
        assert option in install
    assert re.search(r"^uv==\d", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.M)


def test_what_is_left_out_is_for_development_or_for_devstacks_engines() -> None:
    (install,) = [rest for rest in _in("builder", "RUN") if "-r requirements.txt" in rest]
    words = shlex.split(install.partition("uv pip uninstall")[2])
    left_out = {word for word in words if not word.startswith(("-", "/"))}
    sections = re.split(r"^# --- (.+)$", (ROOT / "requirements.in").read_text(encoding="utf-8"), flags=re.M)[1:]
    named = {
        title.split(" (")[0]: {re.split(r"[=<>\[ ;]", line)[0] for line in body.splitlines() if line.strip()}
        for title, body in zip(sections[::2], sections[1::2], strict=True)
    }
    ours = named["engines on one machine"] | named["development"]
    # Airflow and Great Expectations need these too; setuptools makes the editable install.
    assert left_out == ours - {"uvicorn", "setuptools", "jsonschema", "pyyaml"}


def test_labels_and_variables() -> None:
    labels = dict(word.split("=", 1) for rest in _in("runtime", "LABEL") for word in shlex.split(rest))
    assert labels["org.opencontainers.image.version"] == __version__
    assert {"title", "description", "licenses"} <= {name.rpartition(".")[2] for name in labels}
    variables = dict(word.split("=", 1) for rest in _in("runtime", "ENV") for word in shlex.split(rest))
    assert not [name for name in variables if re.search("PASSWORD|SECRET|KEY|TOKEN", name)]
    assert not any(_in(stage, "ARG") for stage in _stages())
    environment = SERVICES["scheduler"]["environment"]
    assert variables["SLUICE_HOME"] == environment["SLUICE_HOME"]
    # Airflow writes below its home in more places than one can set; the rest of the image is read only.
    assert variables["AIRFLOW_HOME"].startswith(variables["SLUICE_HOME"] + "/")
    volumes = [f"sluice-home:{variables['SLUICE_HOME']}"]
    ours = [service for service in SERVICES.values() if service["image"].startswith("sluice:")]
    assert all(service["volumes"][:1] == volumes for service in ours)
    # A folder that the image does not make would belong to root in a new volume.
    built = " ".join(_in("runtime", "RUN"))
    for path in (environment["AIRFLOW__LOGGING__BASE_LOG_FOLDER"], f"{variables['SLUICE_HOME']}/lineage"):
        assert f" {path} " in f"{built} "


def test_paths_in_commands_exist_in_the_image() -> None:
    result = set()
    for service in SERVICES.values():
        if service["image"].startswith("sluice:"):
            words = [*service["command"], *service["healthcheck"].get("test", [])]
            result |= {word for word in words if word.startswith("/opt/sluice/")}
    assert len(result) == 2
    for path in result:
        assert (ROOT / Path(path).relative_to("/opt/sluice")).is_file(), path


# --- probes


@contextmanager
def _server(status: int, body: str) -> Iterator[int]:
    """A server that answers every path so; yields its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *arguments: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


def _run(*argv: str) -> int:
    return subprocess.run(argv, capture_output=True, timeout=20, check=False).returncode


@pytest.mark.parametrize(
    ("status", "body", "parts", "code"),
    [
        (200, '{"scheduler": {"status": "healthy"}}', ["scheduler"], 0),
        (200, '{"status": "healthy"}', [], 0),
        (200, "", [], 0),
        (200, '{"scheduler": {"status": "unhealthy"}}', ["scheduler"], 1),
        (200, '{"scheduler": null}', ["scheduler"], 1),
        (200, "{}", ["triggerer"], 1),
        (200, "<html>the UI</html>", ["scheduler"], 1),
        (503, "", [], 1),
        (503, '{"scheduler": {"status": "healthy"}}', ["scheduler"], 1),
    ],
)
def test_the_health_probe(status: int, body: str, parts: list[str], code: int) -> None:
    with _server(status, body) as port:
        assert _run(sys.executable, str(PROBE), f"http://127.0.0.1:{port}/health", *parts) == code


def test_the_health_probe_where_nothing_listens() -> None:
    assert _run(sys.executable, str(PROBE), f"http://127.0.0.1:{ports.free(1)[0]}/health") == 1


@pytest.mark.parametrize("name", ["qdrant", "marquez"])
def test_the_probes_of_images_without_a_client(name: str) -> None:
    kind, program, option, script = SERVICES[name]["healthcheck"]["test"]
    assert (kind, program, option) == ("CMD", "bash", "-c")
    (port,) = set(re.findall(r"/dev/tcp/127\.0\.0\.1/(\d+)", script))

    def probe(elsewhere: int) -> int:
        return _run("bash", "-c", script.replace("$$", "$").replace(f"/{port} ", f"/{elsewhere} "))

    with _server(200, "ok") as up:
        assert probe(up) == 0
    with _server(503, "not yet") as starting:
        assert probe(starting) == 1
    assert probe(ports.free(1)[0]) == 1


@pytest.mark.parametrize("script", sorted((ROOT / "deploy" / "compose").glob("*.sh")), ids=lambda path: path.name)
def test_scripts_can_be_parsed_and_run(script: Path) -> None:
    shell = script.read_text(encoding="utf-8").splitlines()[0].removeprefix("#!").split("/")[-1]
    assert _run(shell, "-n", str(script)) == 0
    assert script.stat().st_mode & 0o111
