"""The command line: `python -m devstack up | down | status | env | logs | clean`."""

import argparse
import json
import os
import shlex
import signal
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import NoReturn

from devstack.config import Config
from devstack.errors import DevstackError
from devstack.stack import Stack

ROOT = Path(__file__).resolve().parents[2]


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs one command and exits: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    arguments = _parser().parse_args(argv)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # SIGINT, too, because a shell starts background commands with SIGINT ignored.
        signal.signal(number, _interrupt)
    try:
        stack = Stack(Config.from_env(ROOT, os.environ))
        sys.exit(arguments.run(stack, arguments))
    except DevstackError as error:
        print(f"devstack: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("devstack: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m devstack", description="Engines and Airflow on this machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="start services and wait until they answer")
    up.add_argument("services", nargs="*", metavar="SERVICE", help="engines, airflow, or single services; default: all")
    up.set_defaults(run=_up)
    commands.add_parser("down", help="stop all processes; data stays").set_defaults(run=_down)
    status = commands.add_parser(
        "status", help="show the state and ports of all services; exit code 1 if a service is not running"
    )
    status.add_argument("--json", action="store_true")
    status.set_defaults(run=_status)
    env = commands.add_parser("env", help="print the variables of the stack's processes as NAME=value lines")
    env.add_argument(
        "--export", action="store_true", help='as shell commands: eval "$(python -m devstack env --export)"'
    )
    env.add_argument("--app", action="store_true", help="only what the application and its command line need")
    env.set_defaults(run=_env)
    logs = commands.add_parser("logs", help="print the end of a service's log")
    logs.add_argument("service")
    logs.add_argument("-n", "--lines", type=int, default=50)
    logs.set_defaults(run=_logs)
    clean = commands.add_parser("clean", help="stop all processes and remove all data of this SLUICE_HOME")
    clean.add_argument("--force", action="store_true", help="do not ask")
    clean.set_defaults(run=_clean)
    return parser


def _up(stack: Stack, arguments: argparse.Namespace) -> int:
    stack.up(arguments.services, _print)
    return 0


def _down(stack: Stack, arguments: argparse.Namespace) -> int:
    stack.down(_print)
    return 0


def _status(stack: Stack, arguments: argparse.Namespace) -> int:
    services = stack.status()
    if arguments.json:
        listed = [asdict(service) for service in services]
        # "parts": the name of the key up to release 0.4.
        print(json.dumps({"home": str(stack.config.home), "services": listed, "parts": listed}, indent=2))
    elif not services:
        print(f"Nothing was started in {stack.config.home} yet.")
    else:
        for service in services:
            pid = f"pid {service.pid}" if service.pid else ""
            listening = ", ".join(str(port) for port in service.ports.values())
            print(f"{service.name:24} {service.state:10} {pid:12} {listening} {service.detail}")
    return 0 if services and all(service.state in ("running", "done", "left out") for service in services) else 1


def _env(stack: Stack, arguments: argparse.Namespace) -> int:
    values = stack.environment() if arguments.app else stack.full_environment()
    for name, value in sorted(values.items()):
        print(f"export {name}={shlex.quote(value)}" if arguments.export else f"{name}={value}")
    return 0


def _logs(stack: Stack, arguments: argparse.Namespace) -> int:
    path = stack.config.log(arguments.service)
    if not path.is_file():
        known = ", ".join(sorted(log.stem for log in stack.config.logs.glob("*.log"))) or "none yet"
        raise DevstackError(f"There is no log of {arguments.service!r}. Logs: {known}.")
    with path.open(encoding="utf-8", errors="replace") as file:
        sys.stdout.writelines(deque(file, maxlen=arguments.lines))
    return 0


def _clean(stack: Stack, arguments: argparse.Namespace) -> int:
    folders = stack.data_folders()
    if not folders:
        print(f"There is nothing in {stack.config.home}.")
        return 0
    if not arguments.force:
        listed = " and ".join(str(folder) for folder in folders)
        if not _confirmed(f"Remove {listed} with all documents, keys and passwords? Type yes: "):
            raise DevstackError("Nothing was removed. To remove it without a question: make clean FORCE=1")
    stack.clean(_print)
    return 0


def _confirmed(question: str) -> bool:
    try:
        return input(question).strip() == "yes"
    except EOFError:  # standard input is closed, e.g. in a script
        print()
        return False


def _print(line: str) -> None:
    print(line, flush=True)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
