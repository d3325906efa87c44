"""How is one PostgreSQL server run from the system's packages? For as long as a test or a demo needs it."""

from __future__ import annotations

import functools
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.server_process import LOOPBACK, ServerError, ServerProcess, attempts, free_ports, unprivileged_user

OLDEST = 15
USER = "vbpr"
_FORGETFUL = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
"""Settings of a server whose data may be lost with the machine: what ordinary tests use."""
_SETTINGS = (
    "max_connections=300",
    f"listen_addresses={LOOPBACK}",
    "timezone=UTC",
    "log_min_messages=warning",
)


@functools.cache
def binaries() -> Path:
    """Return the folder of the newest PostgreSQL programs.

    Raises:
        ServerError: there is none, or it is too old.
    """
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if on_path := shutil.which("initdb"):
        folders.append(Path(on_path).resolve().parent)
    if not folders:
        raise ServerError(f"PostgreSQL is missing: install version {OLDEST} or newer (Debian: postgresql)")
    newest = max(folders, key=_version)
    if _version(newest) < OLDEST:
        raise ServerError(f"PostgreSQL {_version(newest)} in {newest} is too old: install {OLDEST} or newer")
    return newest


def _version(folder: Path) -> int:
    told = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"(\d+)", told.stdout)
    return int(found[1]) if found else 0


@dataclass(slots=True)
class PostgreSQL:
    """One server on loopback. Port and data folder stay the same through `kill`, `stop` and `start`."""

    folder: Path
    port: int
    process: ServerProcess

    def url(self, database: str) -> str:
        """Return a database's URL as SQLAlchemy takes it."""
        return database_url(self.port, database)

    def start(self, within: float = 60) -> None:
        """Start and return once it answers; waits for what a killed one left behind to be gone."""
        for _ in attempts(within):
            self.process.launch()
            try:
                self.process.wait_ready(within)
            except ServerError:
                if "shared memory block" not in self.process.tail():
                    raise
            else:
                return
        raise ServerError(f"PostgreSQL could not be started again:\n{self.process.tail()}")

    def stop(self) -> None:
        """End it in order, cutting its connections (a "fast" shutdown)."""
        self.process.stop(number=signal.SIGINT)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()


def prepare(
    folder: Path,
    *,
    durable: bool = False,
    port: int | None = None,
    on_start: Callable[[int], None] | None = None,
) -> PostgreSQL:
    """Initialise a server whose everything is in `folder`, unless it holds one already.

    A durable one keeps what it has committed through a power cut, as in production. The folders above must
    be open to all when we are root: the server then runs as an unprivileged user.
    """
    programs, user = binaries(), unprivileged_user("postgres")
    folder.mkdir(parents=True, exist_ok=True)
    if user is not None:
        shutil.chown(folder, user)
    data, log = folder / "data", folder / "postgresql.log"
    if not (data / "PG_VERSION").exists():
        _initialise(programs, data, user)
    port = port or free_ports(1)[0]
    settings = (
        *_SETTINGS,
        f"port={port}",
        f"unix_socket_directories={folder}",
        *(() if durable else _FORGETFUL),
    )
    process = ServerProcess(
        name="PostgreSQL",
        command=[
            str(programs / "postgres"),
            "-D",
            str(data),
            *(part for one in settings for part in ("-c", one)),
        ],
        log=log,
        answers=lambda: _ask(programs, port, "select 1").returncode == 0,
        user=user,
        on_start=on_start,
    )
    return PostgreSQL(folder, port, process)


def _initialise(programs: Path, data: Path, user: str | None) -> None:
    command = [
        str(programs / "initdb"),
        "-D",
        str(data),
        "-U",
        USER,
        "--auth=trust",
        "--encoding=UTF8",
        "--no-locale",
        "--no-sync",
    ]
    done = subprocess.run(
        command,
        user=user,
        extra_groups=None if user is None else [],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ServerError(f"initdb failed:\n{done.stdout}{done.stderr}")


def database_url(port: int, database: str) -> str:
    """Return the SQLAlchemy URL of a database of a server that `prepare` made."""
    return f"postgresql+asyncpg://{USER}@{LOOPBACK}:{port}/{database}"


def execute(port: int, statement: str) -> str:
    """Run one statement outside a transaction, in the database `postgres`; return what it prints.

    Raises:
        ServerError: the server refuses it.
    """
    done = _ask(binaries(), port, statement)
    if done.returncode != 0:
        raise ServerError(f"PostgreSQL refused {statement!r}: {done.stderr.strip()}")
    return done.stdout.strip()


def _ask(programs: Path, port: int, statement: str) -> subprocess.CompletedProcess[str]:
    where = ["-h", LOOPBACK, "-p", str(port), "-U", USER, "-d", "postgres"]
    return subprocess.run(
        [programs / "psql", *where, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PGCONNECT_TIMEOUT": "5"},
    )
