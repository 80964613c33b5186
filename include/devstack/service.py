"""The description of a service of the stack: how to check, prepare, start, recognise and stop it."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devstack.errors import Interrupted


@dataclass(frozen=True)
class Command:
    """The process of a service. `env` is added to the stack's environment; `user` is a system user to run as."""

    argv: tuple[str, ...]
    workdir: Path
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None


@dataclass(frozen=True)
class StartContext:
    """The context of a start: reports progress, and tells whether the start was cancelled."""

    tell: Callable[[str], None]
    is_aborted: Callable[[], bool]

    def check(self) -> None:
        """Raises Interrupted if the start was cancelled."""
        if self.is_aborted():
            raise Interrupted("The start was cancelled.")


def _no_process(context: StartContext) -> Command | None:
    return None


@dataclass(frozen=True)
class Service:
    """One service of the stack.

    ports: setting name → port on 127.0.0.1 that the service listens on.
    left_out: the reason why devstack does not start it; None: it starts it.
    depends_on: settings that affect its start; if one has changed, `up` restarts the service.
    reads_environment: all settings of the application affect its start.
    check: raises DevstackError, before anything starts, if the service cannot work.
    prepare: creates files, removes remains of a killed run, and returns the command; None: nothing to run.
    one_shot: the command does its work and exits; `ready` returns True if the work is done already.
    ready: returns True as soon as the service answers; raises DevstackError if waiting longer cannot help.
    settle: work after each start, once the service answers (accounts, databases).
    stop_signals: sent in this order, with a wait of up to `stop_timeout_s` after each; then KILL.
    stops_after: services that stop before this one, in addition to those that need it.
    """

    name: str
    needs: tuple[str, ...] = ()
    ports: Mapping[str, int] = field(default_factory=dict)
    left_out: str | None = None
    depends_on: tuple[str, ...] = ()
    reads_environment: bool = False
    check: Callable[[], None] = lambda: None
    prepare: Callable[[StartContext], Command | None] = _no_process
    one_shot: bool = False
    ready: Callable[[], bool] = lambda: True
    settle: Callable[[], None] = lambda: None
    ready_timeout_s: float = 60.0
    stop_signals: tuple[signal.Signals, ...] = (signal.SIGTERM,)
    stop_signals_to_all: bool = False
    stop_timeout_s: float = 15.0
    stops_after: tuple[str, ...] = ()
