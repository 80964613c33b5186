"""Starts several services concurrently, each as soon as the services that it needs are ready."""

import threading
import time
from collections.abc import Callable, Sequence

from devstack import processes, runner, stopping
from devstack.config import Config
from devstack.credentials import Credentials
from devstack.errors import DevstackError, Interrupted
from devstack.processes import Record
from devstack.service import Service, StartContext

POLL_S = 0.1
LOG_LINES_SHOWN = 12


def start(config: Config, secrets: Credentials, services: Sequence[Service], tell: Callable[[str], None]) -> None:
    """Starts the services and waits until all are ready. Needed services that are not in `services` count as ready.

    If one fails, or on Ctrl-C, stops the services that were started here. Raises DevstackError.
    """
    aborted = threading.Event()
    ready = {service.name: threading.Event() for service in services}
    failures: list[BaseException] = []
    speaking = threading.Lock()

    def say(line: str) -> None:
        with speaking:
            tell(line)

    context = StartContext(say, aborted.is_set)

    def work(service: Service) -> None:
        try:
            for need in service.needs:
                while need in ready and not ready[need].wait(POLL_S):
                    context.check()
            _start_one(config, secrets, service, context)
            ready[service.name].set()
        except Interrupted:
            pass
        except BaseException as error:
            failures.append(error)
            aborted.set()

    threads = [threading.Thread(target=work, args=(service,), name=service.name, daemon=True) for service in services]
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(POLL_S)
    except BaseException:
        aborted.set()
        _take_down(config, services, threads, say)
        raise
    if failures:
        _take_down(config, services, threads, say)
        raise failures[0]


def _start_one(config: Config, secrets: Credentials, service: Service, context: StartContext) -> None:
    began = time.monotonic()
    record = runner.launch(config, secrets, service, context)
    if service.one_shot:
        _wait_for_end(config, service, record, context)
    else:
        _wait_until_ready(config, service, record, context)
    service.settle()
    listening = ", ".join(str(port) for port in service.ports.values())
    where = f" (port {listening})" if listening else ""
    context.tell(f"{service.name} … ready in {time.monotonic() - began:.1f} s{where}")


def _wait_until_ready(config: Config, service: Service, record: Record | None, context: StartContext) -> None:
    deadline = time.monotonic() + service.ready_timeout_s
    while not service.ready():
        context.check()
        if record and not processes.lives(record):
            raise DevstackError(_ended(config, service, processes.exit_code(record)))
        if time.monotonic() > deadline:
            raise DevstackError(
                f"{service.name} did not answer within {service.ready_timeout_s:.0f} s.{_last_lines(config, service)}"
            )
        time.sleep(POLL_S)
    if record and not processes.lives(record):
        raise DevstackError(_ended(config, service, processes.exit_code(record)))


def _wait_for_end(config: Config, service: Service, record: Record | None, context: StartContext) -> None:
    deadline = time.monotonic() + service.ready_timeout_s
    while record and processes.lives(record):
        context.check()
        if time.monotonic() > deadline:
            raise DevstackError(
                f"{service.name} did not end within {service.ready_timeout_s:.0f} s.{_last_lines(config, service)}"
            )
        time.sleep(POLL_S)
    if record and (code := processes.exit_code(record)) != 0:
        raise DevstackError(_ended(config, service, code))
    runner.end(config, service)


def _take_down(
    config: Config, services: Sequence[Service], threads: Sequence[threading.Thread], say: Callable[[str], None]
) -> None:
    """Stops the services that were started here. A second Ctrl-C does not leave some of them running."""
    for thread in threads:
        if thread.ident is not None:
            thread.join(timeout=30)
    stopping.stop(config, [service for service in services if runner.record(config, service.name)], say)


def _ended(config: Config, service: Service, code: int | None) -> str:
    return f"{service.name} ended while it was starting (exit code {code}).{_last_lines(config, service)}"


def _last_lines(config: Config, service: Service) -> str:
    log = config.log(service.name)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES_SHOWN:]
    return f" The end of {log}:\n" + "\n".join(f"  {line}" for line in lines)
