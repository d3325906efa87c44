"""Which real servers do tests use, and who ends them?

Servers of a run are started by the first test that asks, in whatever worker it runs, and shared by all. Their
ids are noted in the run's folder, where `tests.keeper` finds them when the run is over, however it ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests import keeper
from tools import kafka, postgresql

_RUN_VARIABLE = "VBPR_TEST_RUN"
_STARTED: list[kafka.Broker | postgresql.PostgreSQL] = []
"""What this worker started for all; it goes on when the worker ends."""


def begin_run() -> subprocess.Popen[bytes]:
    """Make the folder of this run, known to every worker, and start its keeper."""
    folder = Path(tempfile.mkdtemp(prefix="vbpr-tests-"))
    folder.chmod(0o755)  # servers run as another user when we are root
    (folder / keeper.PIDS).mkdir()
    os.environ[_RUN_VARIABLE] = str(folder)
    return subprocess.Popen(
        [sys.executable, keeper.__file__, str(folder)], stdin=subprocess.PIPE, start_new_session=True
    )


def end_run(process: subprocess.Popen[bytes]) -> None:
    """Have the keeper end every server, and wait for it."""
    process.communicate()


def run_folder() -> Path:
    """Return the folder of this run."""
    return Path(os.environ[_RUN_VARIABLE])


def own_folder(name: str) -> Path:
    """Return a new folder of this run, for one test's own server."""
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=run_folder()))


def noted(number: signal.Signals = signal.SIGKILL) -> Callable[[int], None]:
    """Return what notes a process id for the keeper, with the signal that ends that process."""

    def note(pid: int) -> None:
        (run_folder() / keeper.PIDS / str(pid)).write_text(str(int(number)))

    return note


def forget(pid: int) -> None:
    """Take back the note of a process that has ended."""
    (run_folder() / keeper.PIDS / str(pid)).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class SharedPostgreSQL:
    """The run's PostgreSQL server; it forgets on a crash of the machine (`fsync=off`), so it is quick."""

    port: int

    def url(self, database: str) -> str:
        """Return a database's URL as SQLAlchemy takes it."""
        return postgresql.database_url(self.port, database)

    def create_database(self, template: str = "template0") -> str:
        """Make a database, empty or a copy of a template, and return its name."""
        name = f"t_{secrets.token_hex(6)}"
        postgresql.execute(self.port, f"create database {name} template {template} strategy file_copy")
        return name

    def databases(self) -> set[str]:
        """Return the names of the databases that a demo made and has not dropped."""
        asked = "select datname from pg_database where datname like 'vbpr%'"
        return set(postgresql.execute(self.port, asked).split())

    def drop_database(self, name: str) -> None:
        """Remove a database, cutting whoever is still connected."""
        postgresql.execute(self.port, f"drop database if exists {name} with (force)")

    async def template(self, name: str, fill: Callable[[str], Awaitable[None]]) -> str:
        """Return the name of a template database filled once a run: migrated, for instance.

        `fill` gets the URL of the new database and must have closed its connections when it returns.
        """
        with _lock(f"template_{name}"):
            done = run_folder() / f"template_{name}"
            if not done.exists():
                self.drop_database(name)
                postgresql.execute(self.port, f"create database {name} template template0")
                await fill(self.url(name))
                done.touch()
        return name


def shared_postgresql() -> SharedPostgreSQL:
    """Return the run's PostgreSQL server, started if it is not."""

    def start() -> int:
        server = postgresql.prepare(run_folder() / "postgresql", on_start=noted(signal.SIGQUIT))
        server.start()
        _STARTED.append(server)
        return server.port

    return SharedPostgreSQL(_once("postgresql", start))


@dataclass(frozen=True, slots=True)
class SharedKafka:
    """The run's broker. Tests take topics and groups of their own, and never stop it."""

    port: int

    @property
    def bootstrap_servers(self) -> str:
        """What clients connect to."""
        return f"127.0.0.1:{self.port}"


def shared_kafka() -> SharedKafka:
    """Return the run's broker, started if it is not."""

    def start() -> int:
        broker = kafka.prepare(run_folder() / "kafka", on_start=noted())
        broker.start()
        _STARTED.append(broker)
        return broker.port

    return SharedKafka(_once("kafka", start))


def _once(name: str, start: Callable[[], int]) -> int:
    """Return the port that the first caller of the run got from `start`."""
    with _lock(name):
        known = run_folder() / f"{name}.port"
        if not known.exists():
            known.write_text(str(start()))
        return int(known.read_text())


@contextlib.contextmanager
def _lock(name: str) -> Iterator[None]:
    with (run_folder() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
