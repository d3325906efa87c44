"""How do tests run the real `vbpr` command: start it, wait until it is ready, crash it, start it again?"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import forget, noted
from tools.server_process import LOOPBACK, ServerProcess, free_ports

COMMAND = str(Path(sys.executable).parent / "vbpr")
_INHERITED = ("PATH", "HOME", "TMPDIR", "LANG")
_READY_WITHIN = 30.0


@dataclass(slots=True)
class VbprProcess:
    """One running `vbpr …`. Ports and environment stay the same through `kill`, `stop` and `start`.

    Every method blocks; a test whose own event loop must go on meanwhile calls it in `asyncio.to_thread`.
    """

    process: ServerProcess
    port: int
    admin_port: int

    @property
    def fhir(self) -> str:
        """The FHIR base, without a slash at its end."""
        return f"http://{LOOPBACK}:{self.port}/fhir"

    @property
    def admin(self) -> str:
        """The base of `/livez`, `/readyz`, `/metrics` and `/ops`."""
        return f"http://{LOOPBACK}:{self.admin_port}"

    def start(self, within: float = _READY_WITHIN) -> None:
        """Start again, after `kill` or `stop`, and return once `/readyz` says so."""
        self.process.start(within)

    def stop(self) -> int:
        """End it in order (SIGTERM) and return its exit code."""
        return self.process.stop()

    def kill(self) -> None:
        """End it as a crash would (`kill -9`)."""
        self.process.kill()

    def log(self) -> str:
        """Return what it has printed so far, over all its starts."""
        return self.process.log.read_text(errors="replace")


@dataclass(slots=True)
class VbprProcesses:
    """The `vbpr` processes of one test, each with free ports; `end` leaves none behind."""

    folder: Path
    started: list[VbprProcess] = field(default_factory=list)

    def start(
        self, *arguments: str, environment: Mapping[str, str] | None = None, within: float = _READY_WITHIN
    ) -> VbprProcess:
        """Start `vbpr ARGUMENTS…` with these `VBPR_*` settings and return it once `/readyz` says so."""
        one = self.prepare(*arguments, environment=environment)
        one.start(within)
        return one

    def prepare(self, *arguments: str, environment: Mapping[str, str] | None = None) -> VbprProcess:
        """Return the same, not started yet."""
        port, admin_port = free_ports(2)
        name = f"{arguments[0]}-{len(self.started)}"
        settings = {
            "VBPR_HOST": LOOPBACK,
            "VBPR_PORT": str(port),
            "VBPR_ADMIN_HOST": LOOPBACK,
            "VBPR_ADMIN_PORT": str(admin_port),
            "VBPR_DATA_DIR": str(self.folder / name),
            "VBPR_ALLOW_PRIVATE_ENDPOINTS": "true",
            "VBPR_ALLOW_HTTP_ENDPOINTS": "true",
            **(environment or {}),
        }
        inherited = {key: os.environ[key] for key in _INHERITED if key in os.environ}
        process = ServerProcess(
            name=f"vbpr {' '.join(arguments)}",
            command=[COMMAND, *arguments],
            log=self.folder / f"{name}.log",
            answers=lambda: is_ready(admin_port),
            environment={**inherited, **settings},
            on_start=noted(),
        )
        one = VbprProcess(process, port, admin_port)
        self.started.append(one)
        return one

    def end(self) -> None:
        """Kill whatever still runs."""
        for one in self.started:
            if one.process.launched:
                one.process.kill()
                forget(one.process.pid)


def is_ready(admin_port: int) -> bool:
    """Tell whether `/readyz` at a loopback port answers 200."""
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{admin_port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
