"""The engines and Airflow of one `SLUICE_HOME`."""

import fcntl
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from devstack import catalogue, credentials, environment, ports, postgres_place, preflight, runner, starting, stopping
from devstack.config import Config
from devstack.errors import DevstackError
from devstack.runner import ServiceStatus
from devstack.service import Service

Progress = Callable[[str], None]


class Stack:
    """Starts, checks and stops the services. All state is in the files of `config.home`."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def up(self, names: Sequence[str] = (), on_progress: Progress = print) -> None:
        """Starts the named services (default: all) and the services that they need; returns when all answer.

        Services that already run with the present settings are not changed. If a service fails, or on Ctrl-C, the
        services that this call started are stopped. Raises DevstackError.
        """
        with self._lock():
            secrets = credentials.load_or_make(self.config)
            environment.write_for_the_command_line(self.config, secrets)
            wanted = []
            for service in catalogue.select(catalogue.services(self.config, secrets), names):
                if service.left_out:
                    on_progress(f"{service.name} … not started here: {service.left_out}")
                elif runner.is_up(self.config, secrets, service):
                    on_progress(f"{service.name} … already running")
                else:
                    wanted.append(service)
            stopping.stop(self.config, wanted, lambda line: None)  # processes that a killed run left behind
            preflight.check(self.config, wanted)
            starting.start(self.config, secrets, wanted, on_progress)

    def down(self, on_progress: Progress = lambda line: None) -> None:
        """Stops every process that was started for this home. A service stops before the services that it needs.

        Raises DevstackError if a process or a listening port survives.
        """
        if not runner.run_folder(self.config).is_dir():
            return
        with self._lock():
            known = {service.name: service for service in self._services()}
            recorded = runner.recorded_names(self.config)
            listening = {
                port: name
                for name in recorded
                if (record := runner.record(self.config, name))
                for port in record.ports
                if ports.answers(port)
            }
            forgotten = [Service(name) for name in recorded if name not in known]
            stopping.stop(self.config, [*known.values(), *forgotten], on_progress)
            still = [f"port {port} of {name} still answers" for port, name in listening.items() if ports.answers(port)]
            if still:
                raise DevstackError(
                    f"All processes of the stack have ended, but {', '.join(still)}: another process uses it. Stop "
                    "that process, or set another port."
                )

    def data_folders(self) -> list[Path]:
        """The folders with this stack's data: `config.home`, and PostgreSQL's below /var/lib if it exists."""
        return [folder for folder in (self.config.home, postgres_place.fallback(self.config.home)) if folder.exists()]

    def clean(self, on_progress: Progress = lambda line: None) -> None:
        """Stops all processes and removes all data, keys and passwords. Raises DevstackError if the home has no run/
        folder."""
        home = self.config.home
        if home.exists() and any(home.iterdir()) and not (home / "run").is_dir():
            raise DevstackError(f"{home} does not look like a SLUICE_HOME (it has no run/). Nothing was removed.")
        self.down(on_progress)
        for folder in self.data_folders():
            shutil.rmtree(folder)
            on_progress(f"removed {folder}")

    def status(self) -> list[ServiceStatus]:
        """The state of each service, in the order of their start; empty before the first start."""
        return [runner.status(self.config, service) for service in self._services()]

    def environment(self) -> dict[str, str]:
        """Variables with which the application uses this stack. Generates the credentials if there are none yet."""
        return environment.for_the_app(self.config, self._credentials())

    def full_environment(self) -> dict[str, str]:
        """`environment` with all credentials and Airflow's own variables."""
        secrets = self._credentials()
        return {**secrets.secrets, **secrets.urls, **environment.for_processes(self.config, secrets)}

    def _credentials(self) -> credentials.Credentials:
        return credentials.load_if_made(self.config) or credentials.load_or_make(self.config)

    def _services(self) -> list[Service]:
        known = credentials.load_if_made(self.config)
        return catalogue.services(self.config, known) if known else []

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Lets one command at a time start or stop services. The kernel releases the lock of a killed command."""
        folder = runner.run_folder(self.config)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise DevstackError(
                    f"Another devstack command runs in {self.config.home}. Wait until it has ended."
                ) from error
            yield
