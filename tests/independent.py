"""A client and receiver that is no kin of ours: Java, on HAPI's models and validator (`tests/conformance/independent`)."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson

from tools import maven

_FOLDER = Path(__file__).parent / "conformance" / "independent"
_SOURCE = _FOLDER / "IndependentClient.java"
_WITHIN = 120.0
"""Seconds that Java may take to start, on a machine with much else to do."""


class IndependentClient:
    """The running process: it is told what to do, a line each, and says what it did and was sent."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Take it as it was started."""
        self._process = process
        self.received: list[dict[str, Any]] = []
        """Every notification, as it read it."""
        self._said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for text in self._process.stdout:
            said = orjson.loads(text)
            if said["did"] == "received":
                self.received.append(said)
            else:
                self._said.put_nowait(said)

    async def tell(self, *words: str) -> dict[str, Any]:
        """Have it do something and return what it says of it."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(words).encode() + b"\n")
        await self._process.stdin.drain()
        return await self.said()

    async def said(self) -> dict[str, Any]:
        """Return the next thing it says that is not a notification."""
        answer = asyncio.create_task(self._said.get())
        await asyncio.wait({answer, self._reading}, timeout=_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        assert answer.done(), "it said nothing"
        return answer.result()

    def told(self, kind: str) -> list[dict[str, Any]]:
        """Return the notifications of a type."""
        return [each for each in self.received if each.get("type") == kind]


@contextlib.asynccontextmanager
async def independent_client(base: str, folder: Path) -> AsyncIterator[IndependentClient]:
    """Run the client against a FHIR base until the block ends; what it complains of goes to a file in `folder`."""
    path = await asyncio.to_thread(_class_path)
    with (folder / "independent-client.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "java",
            "-Xshare:auto",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            path,
            _SOURCE.stem,
            base,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            limit=2**24,
        )
        client = IndependentClient(process)
        try:
            assert (await client.said())["did"] == "ready"
            yield client
        finally:
            process.kill()
            await process.wait()
            client._reading.cancel()  # its own test's helper
            await asyncio.gather(client._reading, return_exceptions=True)


def _class_path() -> str:
    """Return the class path, with the client compiled from what its source says now."""
    libs = maven.jars(_FOLDER / "pom.xml", "independent-client")
    path = ":".join(str(jar) for jar in sorted(libs.glob("*.jar")))
    source = _SOURCE.read_bytes()
    classes = libs.parent / f"classes-{hashlib.sha256(source).hexdigest()[:16]}"
    if not classes.is_dir():
        maven.compile_java(_SOURCE, classes, path)
    return f"{classes}:{path}"
