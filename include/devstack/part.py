"""What the stack knows of a part: how to check, prepare, start, recognise and end it."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devstack.errors import Interrupted


@dataclass(frozen=True)
class Command:
    """The process of a part. `env` is added to the stack's environment; `user` is a system user to run as."""

    argv: tuple[str, ...]
    workdir: Path
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None


@dataclass(frozen=True)
class Voice:
    """How long work reports, and learns that it is no longer wanted."""

    tell: Callable[[str], None]
    is_aborted: Callable[[], bool]

    def check(self) -> None:
        """Raise Interrupted when starting was called off."""
        if self.is_aborted():
            raise Interrupted("Starting was called off.")


def _no_process(voice: Voice) -> Command | None:
    return None


@dataclass(frozen=True)
class Part:
    """One part of the stack.

    ports: setting name → port on 127.0.0.1 that the part listens on.
    left_out: why nothing is started here, or None.
    depends_on: the settings that change how it is started; when one has changed, `up` starts the part anew.
    reads_environment: the same for every setting of the application, of which it runs a part.
    check: raises DevstackError before anything starts, when this part could not work.
    prepare: makes files, clears leftovers, and returns the command; None where there is nothing to run.
    one_shot: the command does its work and ends; `ready` tells whether there is nothing to do for it.
    ready: True as soon as the part answers; raises DevstackError when waiting longer is useless.
    settle: what is done after each start, once it answers (accounts, databases).
    stop_signals: sent one after the other, each followed by up to `stop_timeout_s` of patience; then comes KILL.
    stops_after: parts that end before this one, beside those that need it.
    """

    name: str
    needs: tuple[str, ...] = ()
    ports: Mapping[str, int] = field(default_factory=dict)
    left_out: str | None = None
    depends_on: tuple[str, ...] = ()
    reads_environment: bool = False
    check: Callable[[], None] = lambda: None
    prepare: Callable[[Voice], Command | None] = _no_process
    one_shot: bool = False
    ready: Callable[[], bool] = lambda: True
    settle: Callable[[], None] = lambda: None
    ready_timeout_s: float = 60.0
    stop_signals: tuple[signal.Signals, ...] = (signal.SIGTERM,)
    stop_signals_to_all: bool = False
    stop_timeout_s: float = 15.0
    stops_after: tuple[str, ...] = ()
