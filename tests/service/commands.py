"""How tests run a `vbpr` command beside their own event loop: to its end, or until they end it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.processes import COMMAND
from tools.server_process import free_ports

_QUIET = {key: value for key, value in os.environ.items() if not key.startswith("VBPR_")}


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that ran to its end."""

    code: int
    out: str
    err: str


async def run(*arguments: str, given: bytes = b"", settings: Mapping[str, str] | None = None) -> Ended:
    """Run `vbpr ARGUMENTS…` to its end, with `given` on standard input and `VBPR_*` settings."""
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**_QUIET, **_ports(arguments[0]), **(settings or {})},
    )
    out, err = await process.communicate(given)
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


def _ports(command: str) -> dict[str, str]:
    """Return settings that let a service start whatever else runs on this machine."""
    if command not in {"serve", "publisher", "notifier"}:
        return {}
    port, admin_port = free_ports(2)
    return {"VBPR_PORT": str(port), "VBPR_ADMIN_PORT": str(admin_port)}


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Keep `vbpr ARGUMENTS…` running inside the block; kill it at the end if it is still there."""
    process = await asyncio.create_subprocess_exec(
        COMMAND, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=_QUIET
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.communicate()


async def line(stream: asyncio.StreamReader | None) -> str:
    """Return the next line a running command prints."""
    assert stream is not None
    async with asyncio.timeout(20):
        return (await stream.readline()).decode().rstrip("\n")
