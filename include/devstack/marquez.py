"""Marquez, the lineage server, and its web page. They are started only if their files are set."""

import os
import shutil
from pathlib import Path

import httpx
import yaml

from devstack import dotenv, java
from devstack.config import LOCALHOST, Config
from devstack.credentials import Credentials
from devstack.errors import DevstackError
from devstack.service import Command, Service

JAR_SETTING = "SLUICE_MARQUEZ_JAR"
WEB_SETTING = "SLUICE_MARQUEZ_WEB"


def starts(config: Config, credentials: Credentials) -> bool:
    """Returns whether devstack runs its own Marquez."""
    return config.given(JAR_SETTING) is not None and "SLUICE_MARQUEZ_URL" not in credentials.external


def services(config: Config, credentials: Credentials) -> list[Service]:
    """The service `marquez`, and `marquez-web` if its files are set, too."""
    if not starts(config, credentials):
        left_out = "SLUICE_MARQUEZ_URL is set"
        if "SLUICE_MARQUEZ_URL" not in credentials.external:
            left_out = f"no {JAR_SETTING} or SLUICE_MARQUEZ_URL: lineage is in the ledger (/sluice/lineage)"
        return [Service(name="marquez", left_out=left_out)]
    api = Service(
        name="marquez",
        needs=("postgres",),
        ports={
            "SLUICE_PORT_MARQUEZ": config.ports.marquez,
            "SLUICE_PORT_MARQUEZ_ADMIN": config.ports.marquez_admin,
        },
        check=lambda: _check(config),
        depends_on=(JAR_SETTING,),
        prepare=lambda context: _prepare(config, credentials),
        ready=lambda: _answers(f"http://{LOCALHOST}:{config.ports.marquez_admin}/healthcheck"),
        ready_timeout_s=120.0,
    )
    if not config.given(WEB_SETTING):
        return [api]
    node = shutil.which("node", path=config.given("PATH") or os.defpath)
    web = Service(
        name="marquez-web",
        needs=("marquez",),
        ports={"SLUICE_PORT_MARQUEZ_WEB": config.ports.marquez_web},
        left_out=None if node else f"{WEB_SETTING} is set but there is no node on the PATH",
        check=lambda: _check_web(config),
        depends_on=(WEB_SETTING,),
        prepare=lambda context: _prepare_web(config, str(node)),
        ready=lambda: _answers(f"http://{LOCALHOST}:{config.ports.marquez_web}/"),
    )
    return [api, web]


def _check(config: Config) -> None:
    java.find(config)
    if not Path(config.settings[JAR_SETTING]).is_file():
        raise DevstackError(f"{JAR_SETTING}={config.settings[JAR_SETTING]} is not a file. Correct or unset it.")


def _check_web(config: Config) -> None:
    if not (_web(config) / "serve.js").is_file():
        raise DevstackError(f"{WEB_SETTING}={_web(config)} has no file serve.js. Correct or unset it.")


def _web(config: Config) -> Path:
    return Path(config.settings[WEB_SETTING]).resolve()


def _prepare(config: Config, credentials: Credentials) -> Command:
    folder = config.home / "marquez"
    folder.mkdir(parents=True, exist_ok=True)
    conf = folder / "marquez.yml"
    dotenv.write_private_text(conf, yaml.safe_dump(_conf(config, credentials)))
    argv = (str(java.find(config)), "-Xmx384m", "-XX:+UseSerialGC", "-Duser.timezone=UTC")
    jar = str(Path(config.settings[JAR_SETTING]).resolve())
    return Command((*argv, "-cp", jar, "marquez.MarquezApp", "server", str(conf)), folder)


def _conf(config: Config, credentials: Credentials) -> dict[str, object]:
    def connector(port: int) -> dict[str, object]:
        # Names of nodes contain colons and slashes, which the newer rules for URLs reject.
        return {"type": "http", "bindHost": LOCALHOST, "port": port, "httpCompliance": "RFC7230_LEGACY"}

    return {
        "server": {
            "applicationConnectors": [connector(config.ports.marquez)],
            "adminConnectors": [connector(config.ports.marquez_admin)],
        },
        "db": {
            "driverClass": "org.postgresql.Driver",
            "url": f"jdbc:postgresql://{LOCALHOST}:{config.ports.postgres}/marquez",
            "user": "marquez",
            "password": credentials.role_password("marquez"),
            "initialSize": 2,
            "minSize": 2,
            "maxSize": 16,
        },
        "migrateOnStartup": True,
        "graphql": {"enabled": False},
        "search": {"enabled": False},
        "logging": {"level": "WARN", "appenders": [{"type": "console"}]},
    }


def _prepare_web(config: Config, node: str) -> Command:
    folder = config.home / "marquez-web"
    folder.mkdir(parents=True, exist_ok=True)
    where = (str(config.ports.marquez_web), LOCALHOST, str(config.ports.marquez))
    return Command((node, str(_web(config) / "serve.js"), str(_web(config) / "dist"), *where), folder)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=3.0).is_success
    except httpx.HTTPError:
        return False
