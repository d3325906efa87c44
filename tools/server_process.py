"""How is a server started, waited for and ended? By one handle that knows its command, its log and its id."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.clock import SystemClock

LOOPBACK = "127.0.0.1"
_LOG_TAIL = 4000
_GLANCE = 0.05
"""Seconds between two looks at a server that is starting."""


class ServerError(Exception):
    """A server did not do what was asked; the message says which, what and how its log ends."""


_PORTS = range(15_000, 30_000)
"""Below those the system hands out by itself: a port taken from there may be gone before it is bound again."""


def free_ports(count: int) -> list[int]:
    """Return loopback ports nobody listens on at this moment, all different."""
    found: list[int] = []
    for port in random.SystemRandom().sample(_PORTS, 50 + count):
        with contextlib.suppress(OSError), socket.socket() as one:
            one.bind((LOOPBACK, port))
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"found no {count} free ports on {LOOPBACK}")


def accepts(port: int) -> bool:
    """Tell whether something accepts connections at a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


@dataclass(slots=True)
class ServerProcess:
    """One server, started in a session of its own so that nothing but its id ends it."""

    name: str
    command: Sequence[str]
    log: Path
    answers: Callable[[], bool]
    """Asks the server whether it works; called until it says so."""
    environment: Mapping[str, str] | None = None
    user: str | None = None
    """The account it runs as; needs root."""
    on_start: Callable[[int], None] | None = None
    """Told the process id after every start."""
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def pid(self) -> int:
        """The id of the running process."""
        return self._running().pid

    @property
    def launched(self) -> bool:
        """Whether it was ever started."""
        return self._process is not None

    @property
    def exit_code(self) -> int | None:
        """What the process ended with: negative for a signal, `None` while it runs."""
        return self._process.poll() if self._process else None

    def start(self, within: float) -> None:
        """Start and return once it answers.

        Raises:
            ServerError: it ended, or did not answer within that many seconds (it is killed then).
        """
        self.launch()
        self.wait_ready(within)

    def launch(self) -> None:
        """Start without waiting."""
        if self._process is not None and self._process.poll() is None:
            raise ServerError(f"{self.name} is running already")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if self.environment is None else dict(self.environment),
                user=self.user,
                extra_groups=None if self.user is None else [],
                start_new_session=True,
            )
        if self.on_start is not None:
            self.on_start(self._process.pid)

    def wait_ready(self, within: float) -> None:
        """Return once it answers; the same errors as `start`."""
        for _ in attempts(within):
            if (code := self.wait_end(_GLANCE)) is not None:
                raise ServerError(f"{self.name} ended with exit code {code}:\n{self.tail()}")
            if self.answers():
                return
        self.kill()
        raise ServerError(f"{self.name} did not answer within {within:g} s:\n{self.tail()}")

    def wait_end(self, within: float) -> int | None:
        """Return the exit code, or `None` if it still runs after that many seconds."""
        try:
            return self._running().wait(within)
        except subprocess.TimeoutExpired:
            return None

    def send(self, number: signal.Signals) -> None:
        """Send one signal: `SIGSTOP` freezes the process, `SIGCONT` lets it go on."""
        self._running().send_signal(number)

    def stop(self, within: float = 30, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end and return its exit code; one that has ended is left alone.

        Raises:
            ServerError: it did not end within that many seconds (it is killed then).
        """
        self.send(number)
        if (code := self.wait_end(within)) is None:
            self.kill()
            raise ServerError(f"{self.name} did not end within {within:g} s:\n{self.tail()}")
        return code

    def kill(self) -> None:
        """End it as a crash would (`kill -9`) and wait until it is gone."""
        self.send(signal.SIGKILL)
        self._running().wait()

    def tail(self) -> str:
        """Return the end of what it printed."""
        return self.log.read_bytes()[-_LOG_TAIL:].decode(errors="replace") if self.log.exists() else ""

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ServerError(f"{self.name} was never started")
        return self._process


def attempts(within: float) -> Iterator[int]:
    """Count up until that many seconds have passed; the caller's body does the waiting."""
    clock = SystemClock()
    end = clock.monotonic() + within
    count = 0
    while True:
        yield count
        count += 1
        if clock.monotonic() >= end:
            return


def unprivileged_user(*preferred: str) -> str | None:
    """Return the account to start a server as: `None` unless we are root, which some servers refuse."""
    if os.geteuid() != 0:
        return None
    import pwd

    for name in (*preferred, "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise ServerError("running as root, but there is no unprivileged account to start the server as")
