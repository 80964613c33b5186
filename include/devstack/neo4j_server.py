"""Neo4j Community from Maven Central's jars."""

import logging

from neo4j import Driver, GraphDatabase
from neo4j.exceptions import AuthError, DriverError, Neo4jError

from devstack import dotenv, jars, java
from devstack.config import LOCALHOST, Config
from devstack.credentials import Credentials
from devstack.errors import DevstackError
from devstack.service import Command, Service, StartContext

FIRST_PASSWORD = "neo4j"  # noqa: S105 (the initial password of every new Neo4j; replaced at once)
OPENED = ("java.base/java.nio", "java.base/java.io", "java.base/sun.nio.ch", "java.base/java.util.concurrent")


def service(config: Config, credentials: Credentials) -> Service:
    """The service `neo4j`."""
    left_out = None
    if not config.graph:
        left_out = "SLUICE_GRAPH=off: searches run without the graph"
    elif "SLUICE_NEO4J_URI" in credentials.external:
        left_out = "SLUICE_NEO4J_URI is set"
    return Service(
        name="neo4j",
        ports={"SLUICE_PORT_NEO4J": config.ports.neo4j},
        left_out=left_out,
        check=lambda: _check(config),
        depends_on=("SLUICE_NEO4J_HEAP_MB",),
        prepare=lambda context: _prepare(config, context),
        ready=lambda: _ready(config, credentials),
        ready_timeout_s=150.0,
        stop_timeout_s=40.0,
    )


def _check(config: Config) -> None:
    java.find(config)
    jars.check(config)


def _prepare(config: Config, context: StartContext) -> Command:
    _download(config, context)
    home = config.home / "neo4j"
    for name in ("conf", "data", "logs", "plugins", "import", "run"):
        (home / name).mkdir(parents=True, exist_ok=True)
    dotenv.write_private_text(home / "conf" / "neo4j.conf", _conf(config))
    heap = f"{config.neo4j_heap_mb}m"
    argv = [str(java.find(config)), f"-Xms{min(config.neo4j_heap_mb, 256)}m", f"-Xmx{heap}", "-XX:+UseG1GC"]
    argv += ["-cp", f"{jars.folder(config)}/*", *(f"--add-opens={name}=ALL-UNNAMED" for name in OPENED)]
    argv += ["-Dio.netty.tryReflectionSetAccessible=true", "-Dfile.encoding=UTF-8"]
    argv += ["org.neo4j.server.CommunityEntryPoint", f"--home-dir={home}", f"--config-dir={home / 'conf'}"]
    return Command(tuple(argv), home)


def _download(config: Config, context: StartContext) -> None:
    def report(done: int, total: int) -> None:
        context.check()
        if done % 50 == 0:
            context.tell(f"neo4j: {done} of {total} jars")

    if absent := len(jars.missing(config)):
        context.tell(f"neo4j: downloading {absent} jars (116 MB when all are missing) to {jars.folder(config)}")
        jars.fetch(config, report)


def _conf(config: Config) -> str:
    settings = {
        "server.default_listen_address": LOCALHOST,
        # The time that the driver waits for a server that does not answer; the default is two minutes.
        "server.bolt.connection_keep_alive": "5s",
        "server.bolt.connection_keep_alive_probes": "2",
        "server.bolt.listen_address": f"{LOCALHOST}:{config.ports.neo4j}",
        "server.http.enabled": "false",
        "server.https.enabled": "false",
        "dbms.usage_report.enabled": "false",
        "server.memory.pagecache.size": "128m",
        "server.memory.heap.initial_size": f"{min(config.neo4j_heap_mb, 256)}m",
        "server.memory.heap.max_size": f"{config.neo4j_heap_mb}m",
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _ready(config: Config, credentials: Credentials) -> bool:
    """Returns whether our account can log in. At the first start this sets its password."""
    uri, user = credentials.urls["SLUICE_NEO4J_URI"], credentials.secrets["SLUICE_NEO4J_USER"]
    password = credentials.secrets["SLUICE_NEO4J_PASSWORD"]
    # Failed logins lock the account for seconds, so the more likely password is tried first.
    stamp = config.home / "neo4j" / "password-is-set"
    passwords = (password, FIRST_PASSWORD) if stamp.exists() else (FIRST_PASSWORD, password)
    try:
        for candidate in passwords:
            if _logs_in(uri, user, candidate, password):
                stamp.touch()
                return True
    except (DriverError, Neo4jError, OSError):
        return False
    raise DevstackError(
        f"Neo4j in {config.home} has another password than {config.home / 'credentials.env'}. Restore that file, or "
        "remove the data with `python -m devstack clean`."
    )


def _logs_in(uri: str, user: str, candidate: str, wanted: str) -> bool:
    logging.getLogger("neo4j").setLevel(logging.CRITICAL)  # refused connections are expected while it starts
    with _driver(uri, user, candidate) as driver:
        try:
            if candidate == wanted:
                driver.verify_connectivity()
            else:
                change = "ALTER CURRENT USER SET PASSWORD FROM $old TO $new"
                driver.execute_query(change, old=candidate, new=wanted, database_="system")
        except AuthError:
            return False
    return True


def _driver(uri: str, user: str, password: str) -> Driver:
    return GraphDatabase.driver(
        uri,
        auth=(user, password),
        connection_timeout=2.0,
        connection_acquisition_timeout=5.0,
        max_transaction_retry_time=0.0,
    )
