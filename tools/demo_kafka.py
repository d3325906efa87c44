"""How is the demo run on many machines' parts? With a PostgreSQL and a Kafka that live as long as it does."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType

from tools import kafka, postgresql
from tools.server_process import ServerError


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(1)


def main(arguments: list[str]) -> int:
    """Start both servers, run `vbpr demo` on them with these arguments too, and end them."""
    signal.signal(signal.SIGTERM, _end)
    with (
        tempfile.TemporaryDirectory(prefix="vbpr-demo-", ignore_cleanup_errors=True) as name,
        contextlib.ExitStack() as stack,
    ):
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as another user when we are root
        print("Starting PostgreSQL …", flush=True)
        database = postgresql.prepare(folder / "postgresql")
        database.start()
        stack.callback(database.stop)
        print(f"Starting Apache Kafka {kafka.version()} …", flush=True)
        broker = kafka.prepare(folder / "kafka")
        broker.start()
        stack.callback(broker.kill)
        postgresql.execute(database.port, "create database vbpr")
        where = ["--database-url", database.url("vbpr"), "--kafka", broker.bootstrap_servers]
        vbpr = Path(sys.executable).parent / "vbpr"
        return subprocess.run([vbpr, "demo", "--many-machines", *where, *arguments], check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ServerError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
