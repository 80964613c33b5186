"""Folders, ports and options of the stack, read once from `SLUICE_*` settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack import dotenv
from devstack.errors import DevstackError

LOCALHOST = "127.0.0.1"

# Settings that name a server of the user: devstack uses that server and does not start its own.
URL_SETTINGS = (
    "SLUICE_DATABASE_URL",
    "SLUICE_DATABASE_OWNER_URL",
    "SLUICE_DATABASE_ANALYST_URL",
    "SLUICE_KEYS_DATABASE_URL",
    "SLUICE_AIRFLOW_DATABASE_URL",
    "SLUICE_REDIS_URL",
    "SLUICE_QDRANT_URL",
    "SLUICE_NEO4J_URI",
    "SLUICE_MARQUEZ_URL",
)


@dataclass(frozen=True)
class Ports:
    """TCP ports on 127.0.0.1."""

    airflow: int = 8080
    airflow_execution: int = 8081
    postgres: int = 5432
    redis: int = 6379
    qdrant: int = 6333
    qdrant_grpc: int = 6334
    neo4j: int = 7687
    marquez: int = 5000
    marquez_admin: int = 5001
    marquez_web: int = 3000

    @classmethod
    def from_settings(cls, settings: Mapping[str, str]) -> "Ports":
        """Ports from `SLUICE_PORT_<NAME>`. Raises DevstackError for an invalid number or a duplicate port."""

        def port(name: str, default: int) -> int:
            setting = f"SLUICE_PORT_{name.upper()}"
            return _whole_number(settings, setting, default, low=1, high=65535)

        airflow = port("airflow", cls.airflow)
        marquez = port("marquez", cls.marquez)
        qdrant = port("qdrant", cls.qdrant)
        ports = cls(
            airflow=airflow,
            airflow_execution=port("airflow_execution", airflow + 1),
            postgres=port("postgres", cls.postgres),
            redis=port("redis", cls.redis),
            qdrant=qdrant,
            qdrant_grpc=port("qdrant_grpc", qdrant + 1),
            neo4j=port("neo4j", cls.neo4j),
            marquez=marquez,
            marquez_admin=port("marquez_admin", marquez + 1),
            marquez_web=port("marquez_web", cls.marquez_web),
        )
        ports._reject_duplicates()
        return ports

    def _reject_duplicates(self) -> None:
        seen: dict[int, str] = {}
        for name, number in vars(self).items():
            if number in seen:
                first, second = (f"SLUICE_PORT_{each.upper()}" for each in (seen[number], name))
                raise DevstackError(f"{first} and {second} are both {number}. Set one of them to a free port.")
            seen[number] = name


@dataclass(frozen=True)
class Config:
    """The settings of one stack. `settings`: all values of the environment and `.env`."""

    root: Path
    home: Path
    cache: Path
    ports: Ports
    settings: Mapping[str, str]
    graph: bool
    dags_folder: Path
    maven_mirror: str
    min_free_bytes: int
    airflow_parallelism: int
    neo4j_heap_mb: int
    airflow_overrides: Mapping[str, str]

    @classmethod
    def from_env(cls, root: Path, environ: Mapping[str, str]) -> "Config":
        """Settings from the environment, then from `<root>/.env`. Raises DevstackError for an invalid value."""
        root = root.resolve()
        written = dotenv.read(root / ".env")
        settings = {**written, **environ}
        if "SLUICE_MARQUEZ_URL" not in settings and settings.get("OPENLINEAGE_URL"):
            settings["SLUICE_MARQUEZ_URL"] = settings["OPENLINEAGE_URL"]
        user_cache = settings.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        return cls(
            root=root,
            home=_folder(root, settings.get("SLUICE_HOME") or ".sluice"),
            cache=_folder(root, settings.get("SLUICE_CACHE") or f"{user_cache}/sluice"),
            ports=Ports.from_settings(settings),
            settings=settings,
            graph=_switch(settings, "SLUICE_GRAPH", default=True),
            dags_folder=_folder(root, settings.get("SLUICE_DAGS_FOLDER") or "dags"),
            maven_mirror=(settings.get("SLUICE_MAVEN_MIRROR") or "https://repo1.maven.org/maven2").rstrip("/"),
            min_free_bytes=_whole_number(settings, "SLUICE_MIN_FREE_MB", 2048, low=0, high=10**9) * 2**20,
            airflow_parallelism=_whole_number(settings, "SLUICE_AIRFLOW_PARALLELISM", 4, low=1, high=256),
            neo4j_heap_mb=_whole_number(settings, "SLUICE_NEO4J_HEAP_MB", 512, low=256, high=65536),
            airflow_overrides={name: value for name, value in written.items() if name.startswith("AIRFLOW__")},
        )

    def given(self, setting: str) -> str | None:
        """A setting's value; None: it is not set, or empty."""
        return self.settings.get(setting) or None

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    def log(self, service: str) -> Path:
        """The log file of a service's process."""
        return self.logs / f"{service}.log"


def _folder(root: Path, value: str) -> Path:
    return (root / Path(value).expanduser()).resolve()


def _switch(settings: Mapping[str, str], name: str, default: bool) -> bool:
    value = (settings.get(name) or "").strip().lower()
    known = {"": default, "on": True, "true": True, "1": True, "off": False, "false": False, "0": False}
    if value not in known:
        raise DevstackError(f"{name}={value!r} is neither on nor off. Set it to on or off.")
    return known[value]


def _whole_number(settings: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    value = settings.get(name) or str(default)
    if not (value.isascii() and value.isdecimal()) or not low <= int(value) <= high:
        raise DevstackError(f"{name}={value!r} is not a whole number from {low} to {high}. Correct or unset it.")
    return int(value)
