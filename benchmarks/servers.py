"""Where does what is measured run? On free loopback ports, in a folder that goes away, durable as in production."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from services.clock import SystemClock
from tools import postgresql
from tools.server_process import LOOPBACK, ServerError, ServerProcess, free_ports

Backend = Literal["SQLite", "PostgreSQL"]
BACKENDS: tuple[Backend, ...] = ("SQLite", "PostgreSQL")


@dataclass(slots=True)
class Place:
    """A folder that goes away, and a PostgreSQL server in it, started when it is first asked for."""

    folder: Path
    stack: contextlib.ExitStack
    _server: postgresql.PostgreSQL | None = None
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def database(self, backend: Backend) -> str:
        """Return the URL of a new, empty database."""
        name = f"bench_{next(self._numbers)}"
        if backend == "SQLite":
            return self._file(name)
        return self._on_server(name, new=True)

    async def filled(self, backend: Backend, name: str, fill: Callable[[str], Awaitable[None]]) -> str:
        """Return the URL of the database of that name, filled by `fill` unless a kept folder holds it already."""
        mark = self.folder / f"{name}-{backend}.filled"
        new = not mark.exists()
        url = self._file(name) if backend == "SQLite" else self._on_server(name, new=new)
        if new:
            await fill(url)
            mark.touch()
        return url

    def _file(self, name: str) -> str:
        return f"sqlite+aiosqlite:///{self.folder / name}.sqlite"

    def _on_server(self, name: str, *, new: bool) -> str:
        if self._server is None:
            self._server = postgresql.prepare(self.folder / "postgresql", durable=True)
            self._server.start()
            self.stack.callback(self._server.stop)
        if new:
            postgresql.execute(self._server.port, f"create database {name}")
        return self._server.url(name)

    def new_folder(self, name: str) -> Path:
        """Return a folder nobody has used."""
        return self.folder / f"{name}-{next(self._numbers)}"

    def vbpr(self, *arguments: str, **settings: str) -> Vbpr:
        """Return a `vbpr ARGUMENTS…` process with these settings, not started; it ends with the place."""
        port, admin_port = free_ports(2)
        named = {
            "VBPR_PORT": str(port),
            "VBPR_ADMIN_PORT": str(admin_port),
            "VBPR_DATA_DIR": str(self.new_folder("data")),
            "VBPR_ALLOW_PRIVATE_ENDPOINTS": "true",
            "VBPR_ALLOW_HTTP_ENDPOINTS": "true",
            **settings,
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("VBPR_")}
        process = ServerProcess(
            name=f"vbpr {' '.join(arguments)}",
            command=[sys.executable, "-m", "services.cli.main", *arguments],
            log=self.new_folder("log"),
            answers=lambda: is_ready(admin_port),
            environment=kept | named,
        )
        self.stack.callback(
            lambda: process.kill() if process.launched and process.exit_code is None else None
        )
        return Vbpr(process, port, admin_port)


@dataclass(slots=True)
class Vbpr:
    """One `vbpr` process; ports and data stay the same from start to start."""

    process: ServerProcess
    port: int
    admin_port: int

    @property
    def url(self) -> str:
        """Where it serves, without a path."""
        return f"http://{LOOPBACK}:{self.port}"

    def start(self) -> float:
        """Start and return the seconds until `/readyz` said 200."""
        clock = SystemClock()
        started = clock.monotonic()
        self.process.launch()
        while not is_ready(self.admin_port):
            if self.process.wait_end(0.005) is not None or clock.monotonic() - started > 60:
                raise ServerError(f"{self.process.name} was not ready:\n{self.process.tail()}")
        return clock.monotonic() - started

    def run(self) -> None:
        """Run a command that ends by itself."""
        self.process.launch()
        if (code := self.process.wait_end(60)) != 0:
            raise ServerError(f"{self.process.name} ended with {code}:\n{self.process.tail()}")

    def memory(self) -> float:
        """Return the resident memory in MB."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024 / 1_000_000
        raise ServerError("this system does not tell the memory of a process")


def is_ready(admin_port: int) -> bool:
    """Tell whether `/readyz` at a loopback port answers 200."""
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{admin_port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextlib.contextmanager
def place(keep: Path | None = None) -> Iterator[Place]:
    """Make a place to run in, and leave nothing of it behind, unless `keep` names the folder."""
    with contextlib.ExitStack() as stack:
        if keep is None:
            made = tempfile.TemporaryDirectory(prefix="vbpr-bench-", ignore_cleanup_errors=True)
            folder = Path(stack.enter_context(made))
        else:
            folder = keep.resolve()
            folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)  # PostgreSQL runs as another user when we are root
        yield Place(folder, stack)
