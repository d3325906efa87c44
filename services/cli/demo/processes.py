"""How the demo starts, kills and ends `vbpr` processes, and waits until one may be sent work."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from services import ports
from services.cli.errors import CommandError
from services.clock import Clock

READY_SECONDS = 40.0
END_SECONDS = 25.0


_PORTS = range(15_000, 30_000)
"""Below those the system hands out by itself: a port taken from there may be gone before it is bound again."""


def free_port() -> int:
    """Return a loopback port that nothing holds at this moment, and nothing is given by chance."""
    for port in secrets.SystemRandom().sample(_PORTS, 50):
        with contextlib.suppress(ports.PortError), ports.bind("127.0.0.1", port, "--port"):
            return port
    raise ports.PortError("Found no free port on 127.0.0.1 in fifty tries.")


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with none of its own `VBPR_*`: the demo says all it needs."""
    return {key: value for key, value in os.environ.items() if not key.startswith("VBPR_")} | dict(settings)


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "services.cli.main", *arguments]


@dataclass(slots=True)
class Actor:
    """One `vbpr …` process, its settings kept, so that it may be killed and started again as it was."""

    name: str
    arguments: tuple[str, ...]
    settings: Mapping[str, str] = field(repr=False)
    log: Path
    hear: Callable[[bytes], None] | None = None
    """Takes each line it prints; without one, what it prints goes into its log."""
    running: asyncio.subprocess.Process | None = None
    _listening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the process; does not wait for it."""
        with self.log.open("ab") as log:
            creating = asyncio.ensure_future(
                asyncio.create_subprocess_exec(
                    *_command(*self.arguments),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE if self.hear else log,
                    stderr=log,
                    env=_environment(self.settings),
                    limit=256 * 1024 * 1024,
                )
            )
            try:
                self.running = await asyncio.shield(creating)
            except asyncio.CancelledError:
                self.running = await creating  # it runs by now: known, it can be ended
                raise
        if self.hear is not None:
            self._listening = asyncio.create_task(self._listen(self.running), name=f"hear {self.name}")

    async def _listen(self, running: asyncio.subprocess.Process) -> None:
        assert running.stdout is not None
        assert self.hear is not None
        while line := await running.stdout.readline():
            self.hear(line)

    async def ready(self, session: aiohttp.ClientSession, clock: Clock) -> None:
        """Wait until `/readyz` at its admin port says so.

        Raises:
            CommandError: it ended, or was not ready in time; says where its log is.
        """
        url = f"http://127.0.0.1:{self.settings['VBPR_ADMIN_PORT']}/readyz"
        until = clock.monotonic() + READY_SECONDS
        while clock.monotonic() < until:
            if self.running is None or self.running.returncode is not None:
                raise CommandError(f"{self.name} ended while starting: {self._last_words()}")
            if await _answers(session, url):
                return
            await clock.sleep(0.03)
        raise CommandError(f"{self.name} was not ready within {READY_SECONDS:.0f} s: see {self.log}.")

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"see {self.log}."

    async def kill(self) -> None:
        """End it as a crash would."""
        if self.running is not None and self.running.returncode is None:
            self.running.send_signal(signal.SIGKILL)
            await self.running.wait()

    async def stop(self) -> None:
        """End it in order; kill it when it takes too long."""
        if self.running is not None and self.running.returncode is None:
            self.running.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(END_SECONDS):
                    await self.running.wait()
            except TimeoutError:
                await self.kill()
        if self._listening is not None:
            await self._listening


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=2)) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


async def run(settings: Mapping[str, str], *arguments: str) -> bytes:
    """Run `vbpr ARGUMENTS…` to its end and return what it printed.

    Raises:
        CommandError: it failed; carries what it said.
    """
    ended = await asyncio.create_subprocess_exec(
        *_command(*arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_environment(settings),
    )
    out, err = await ended.communicate()
    if ended.returncode != 0:
        said = err.decode(errors="replace").strip().splitlines() or ["without a word"]
        raise CommandError(f"vbpr {' '.join(arguments)} failed: {said[-1]}")
    return out
