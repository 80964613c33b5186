"""Starts several parts concurrently, each as soon as the parts that it needs are ready."""

import threading
import time
from collections.abc import Callable, Sequence

from devstack import processes, runner, stopping
from devstack.config import Config
from devstack.credentials import Credentials
from devstack.errors import DevstackError, Interrupted
from devstack.part import Part, StartContext
from devstack.processes import Record

POLL_S = 0.1
LOG_LINES_SHOWN = 12


def start(config: Config, secrets: Credentials, parts: Sequence[Part], tell: Callable[[str], None]) -> None:
    """Starts the parts and waits until all are ready. Needed parts that are not in `parts` count as ready.

    If one fails, or on Ctrl-C, stops the parts that were started here. Raises DevstackError.
    """
    aborted = threading.Event()
    ready = {part.name: threading.Event() for part in parts}
    failures: list[BaseException] = []
    speaking = threading.Lock()

    def say(line: str) -> None:
        with speaking:
            tell(line)

    context = StartContext(say, aborted.is_set)

    def work(part: Part) -> None:
        try:
            for need in part.needs:
                while need in ready and not ready[need].wait(POLL_S):
                    context.check()
            _start_one(config, secrets, part, context)
            ready[part.name].set()
        except Interrupted:
            pass
        except BaseException as error:
            failures.append(error)
            aborted.set()

    threads = [threading.Thread(target=work, args=(part,), name=part.name, daemon=True) for part in parts]
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(POLL_S)
    except BaseException:
        aborted.set()
        _take_down(config, parts, threads, say)
        raise
    if failures:
        _take_down(config, parts, threads, say)
        raise failures[0]


def _start_one(config: Config, secrets: Credentials, part: Part, context: StartContext) -> None:
    began = time.monotonic()
    record = runner.launch(config, secrets, part, context)
    if part.one_shot:
        _wait_for_end(config, part, record, context)
    else:
        _wait_until_ready(config, part, record, context)
    part.settle()
    listening = ", ".join(str(port) for port in part.ports.values())
    where = f" (port {listening})" if listening else ""
    context.tell(f"{part.name} … ready in {time.monotonic() - began:.1f} s{where}")


def _wait_until_ready(config: Config, part: Part, record: Record | None, context: StartContext) -> None:
    deadline = time.monotonic() + part.ready_timeout_s
    while not part.ready():
        context.check()
        if record and not processes.lives(record):
            raise DevstackError(_ended(config, part, processes.exit_code(record)))
        if time.monotonic() > deadline:
            raise DevstackError(
                f"{part.name} did not answer within {part.ready_timeout_s:.0f} s.{_last_lines(config, part)}"
            )
        time.sleep(POLL_S)
    if record and not processes.lives(record):
        raise DevstackError(_ended(config, part, processes.exit_code(record)))


def _wait_for_end(config: Config, part: Part, record: Record | None, context: StartContext) -> None:
    deadline = time.monotonic() + part.ready_timeout_s
    while record and processes.lives(record):
        context.check()
        if time.monotonic() > deadline:
            raise DevstackError(
                f"{part.name} did not end within {part.ready_timeout_s:.0f} s.{_last_lines(config, part)}"
            )
        time.sleep(POLL_S)
    if record and (code := processes.exit_code(record)) != 0:
        raise DevstackError(_ended(config, part, code))
    runner.end(config, part)


def _take_down(
    config: Config, parts: Sequence[Part], threads: Sequence[threading.Thread], say: Callable[[str], None]
) -> None:
    """Stops the parts that were started here. A second Ctrl-C does not leave some of them running."""
    for thread in threads:
        if thread.ident is not None:
            thread.join(timeout=30)
    stopping.stop(config, [part for part in parts if runner.record(config, part.name)], say)


def _ended(config: Config, part: Part, code: int | None) -> str:
    return f"{part.name} ended while it was starting (exit code {code}).{_last_lines(config, part)}"


def _last_lines(config: Config, part: Part) -> str:
    log = config.log(part.name)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES_SHOWN:]
    return f" The end of {log}:\n" + "\n".join(f"  {line}" for line in lines)
