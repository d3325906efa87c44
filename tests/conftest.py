"""What every test may ask for: a clock that stands still, real servers, real processes."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import guide, servers
from tests.clock import ManualClock
from tests.processes import VbprProcesses
from tools import kafka as kafka_broker
from tools import postgresql as postgresql_server

_NEEDS = {
    "shared_postgresql": "postgresql",
    "own_postgresql": "postgresql",
    "kafka": "kafka",
    "own_kafka": "kafka",
    "vbpr": "slow",
}
"""Fixture → the marker that a test asking for it gets by itself, so that `make test-fast` leaves it out."""

_keeper = pytest.StashKey[subprocess.Popen[bytes]]()
_uncollected = pytest.StashKey[int]()


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def pytest_configure(config: pytest.Config) -> None:
    """Begin the run, once: in the process that the workers, if any, are started from."""
    config.stash[_uncollected] = 0
    if _is_worker(config):
        return
    if guide.ARTIFACTS is None and os.environ.get("CI") == "true":
        raise pytest.UsageError(
            f"guide artifacts not found: set {guide.VARIABLE} to the folder that holds vbpr/"
        )
    config.stash[_keeper] = servers.begin_run()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End every server of the run."""
    if (process := config.stash.get(_keeper, None)) is not None:
        servers.end_run(process)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests by what they ask for; leave out those that read the guide when it is not there."""
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if fixture in _NEEDS:
                item.add_marker(_NEEDS[fixture])
    if guide.ARTIFACTS is None:
        left_out = [item for item in items if item.get_closest_marker("guide")]
        config.stash[_uncollected] = len(left_out)
        items[:] = [item for item in items if not item.get_closest_marker("guide")]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Have a worker tell how many tests it left out."""
    if _is_worker(session.config):
        output: dict[str, Any] = session.config.workeroutput  # type: ignore[attr-defined]  # set by xdist
        output["uncollected"] = session.config.stash[_uncollected]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear how many tests a worker left out: each collects all of them."""
    node.config.stash[_uncollected] = getattr(node, "workeroutput", {}).get("uncollected", 0)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say what was left out."""
    if guide.ARTIFACTS is None:
        count = config.stash[_uncollected]
        terminalreporter.write_line(
            f"guide artifacts not found ({guide.VARIABLE}): {count} tests not collected"
        )


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still until the test moves it."""
    return ManualClock()


@pytest.fixture(scope="session")
def shared_postgresql() -> servers.SharedPostgreSQL:
    """The run's PostgreSQL server."""
    return servers.shared_postgresql()


@pytest.fixture
def postgresql_url(shared_postgresql: servers.SharedPostgreSQL) -> Iterator[str]:
    """The URL of an empty PostgreSQL database of this test's own."""
    name = shared_postgresql.create_database()
    yield shared_postgresql.url(name)
    shared_postgresql.drop_database(name)


@pytest.fixture
def own_postgresql() -> Iterator[postgresql_server.PostgreSQL]:
    """A durable PostgreSQL server of this test's own, to stop, kill and start again."""
    server = postgresql_server.prepare(
        servers.own_folder("postgresql"), durable=True, on_start=servers.noted(signal.SIGQUIT)
    )
    server.start()
    yield server
    server.process.stop(number=signal.SIGQUIT)
    servers.forget(server.process.pid)


@pytest.fixture(scope="session")
def kafka() -> servers.SharedKafka:
    """The run's Apache Kafka broker."""
    return servers.shared_kafka()


@pytest.fixture
def own_kafka() -> Iterator[kafka_broker.Broker]:
    """A broker of this test's own, to stop, kill and start again."""
    broker = kafka_broker.prepare(servers.own_folder("kafka"), on_start=servers.noted())
    broker.start()
    yield broker
    broker.kill()
    servers.forget(broker.process.pid)


@pytest.fixture
def topic() -> str:
    """The name of a topic nobody has used."""
    return f"test.{secrets.token_hex(6)}"


@pytest.fixture
def vbpr(tmp_path: Path) -> Iterator[VbprProcesses]:
    """Starts `vbpr …` processes; none outlives the test."""
    processes = VbprProcesses(tmp_path)
    yield processes
    processes.end()
