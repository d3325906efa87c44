"""How is one Apache Kafka broker run from its published jars? `python -m tools.kafka fetch|run`.

The jars come by the coordinates in `deploy/kafka/pom.xml`, through Maven, into the user's cache folder.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template
from types import FrameType

from tools import maven
from tools.server_process import LOOPBACK, ServerError, ServerProcess, accepts, free_ports

_DEPLOY = Path(__file__).resolve().parent.parent / "deploy" / "kafka"
_API_VERSIONS = struct.pack(">hhih", 18, 0, 1, -1)
"""Kafka protocol: ApiVersions, version 0, correlation 1, no client id."""
_GLANCE = 0.2
"""Seconds between two looks at a broker that is starting."""


def version() -> str:
    """Return the broker's version, as the pom names it."""
    pom = (_DEPLOY / "pom.xml").read_text()
    found = re.search(r"<artifactId>kafka_[\d.]+</artifactId>\s*<version>([^<]+)</version>", pom)
    if found is None:
        raise ServerError("deploy/kafka/pom.xml names no version of org.apache.kafka:kafka_2.13")
    return found[1]


def jars() -> Path:
    """Return the folder of the broker's jars.

    Raises:
        ServerError: as `maven.jars` says.
    """
    return maven.jars(_DEPLOY / "pom.xml", f"kafka-{version()}")


@dataclass(slots=True)
class Broker:
    """One broker on loopback. Ports and data folder stay the same through `kill`, `stop` and `start`."""

    folder: Path
    port: int
    controller_port: int
    process: ServerProcess

    @property
    def bootstrap_servers(self) -> str:
        """What clients connect to."""
        return f"{LOOPBACK}:{self.port}"

    def start(self, within: float = 60) -> None:
        """Start and return once it answers; after a `kill` that takes about ten seconds longer."""
        self.process.start(within)

    def stop(self) -> None:
        """End it in order, so that the next start is quick."""
        self.process.stop()

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()


def prepare(
    folder: Path,
    *,
    ports: tuple[int, int] | None = None,
    heap: str = "512m",
    on_start: Callable[[int], None] | None = None,
) -> Broker:
    """Configure and format a broker whose everything is in `folder`; one formatted before keeps its data.

    `ports` are the clients' and the controller's; without them free ones are taken.
    """
    libs = jars()
    folder.mkdir(parents=True, exist_ok=True)
    port, controller_port = ports or free_ports(2)
    properties = folder / "server.properties"
    template = Template((_DEPLOY / "server.properties").read_text())
    properties.write_text(
        template.substitute(port=port, controller_port=controller_port, data=folder / "data")
    )
    _format(libs, folder, properties)
    process = ServerProcess(
        name="the Kafka broker",
        command=_java(libs, f"-Xms{heap}", f"-Xmx{heap}", "kafka.Kafka", str(properties)),
        log=folder / "broker.log",
        answers=lambda: answers(port),
        on_start=on_start,
    )
    return Broker(folder, port, controller_port, process)


def _java(libs: Path, *arguments: str) -> list[str]:
    logging = f"-Dlog4j2.configurationFile={_DEPLOY / 'log4j2.properties'}"
    # The second compiler pays off after minutes; a broker for tests lives for seconds.
    return [
        "java",
        "-XX:TieredStopAtLevel=1",
        "-Dlog4j2.shutdownHookEnabled=false",
        logging,
        "-cp",
        f"{libs}/*",
        *arguments,
    ]


def _format(libs: Path, folder: Path, properties: Path) -> None:
    if (folder / "data" / "meta.properties").exists():
        return
    identity = "dmJwci1zdWJzY3JpcHRpbw"  # any 16 bytes in base64; one broker is the whole cluster
    tool = ["kafka.tools.StorageTool", "format", "--standalone", "-t", identity, "-c", str(properties)]
    done = subprocess.run(_java(libs, *tool), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ServerError(f"the broker's data folder could not be formatted:\n{done.stdout}{done.stderr}")


def answers(port: int) -> bool:
    """Tell whether a broker at a loopback port answers Kafka's protocol, not only its socket."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
            connection.sendall(struct.pack(">i", len(_API_VERSIONS)) + _API_VERSIONS)
            head = connection.recv(10, socket.MSG_WAITALL)
    except OSError:
        return False
    return len(head) == 10 and struct.unpack(">iih", head)[1:] == (1, 0)


def _run(port: int, folder: Path) -> int:
    for one in (port, port + 1):
        if accepts(one):
            raise ServerError(
                f"Port {one} on {LOOPBACK} is in use: choose another with --port (make kafka KAFKA_PORT=…); "
                "the one above it is taken too"
            )
    broker = prepare(folder, ports=(port, port + 1))
    ended: list[int] = []
    running = subprocess.Popen(broker.process.command)

    def end(number: int, _frame: FrameType | None) -> None:
        ended.append(number)
        running.send_signal(signal.SIGTERM)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    while not answers(port):
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(_GLANCE)
            break
    else:
        print(f"Apache Kafka {version()} at {broker.bootstrap_servers}. Ctrl-C ends it.", flush=True)
    code = running.wait()
    if not ended:
        raise ServerError(f"the Kafka broker ended by itself with exit code {code}")
    print(f"\nApache Kafka has ended; what it holds stays in {folder}.", flush=True)
    return 0


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.kafka", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch", help="fetch the broker's jars and print where they are")
    run = commands.add_parser("run", help="run one broker on loopback in the foreground")
    run.add_argument("--port", type=int, default=9092, help="clients' port; the controller takes the next")
    run.add_argument("--folder", type=Path, default=Path("var/kafka"), help="configuration and data")
    given = parser.parse_args()
    try:
        if given.command == "fetch":
            print(jars())
            return 0
        return _run(given.port, given.folder.resolve())
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
