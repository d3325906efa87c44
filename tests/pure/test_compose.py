"""Does the deployment that nobody can start here agree with the code: commands, settings, limits, routes?"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from services import settings
from services.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
OURS = ("migrate", "publisher", "notifier")
SERVERS = ("kafka", "postgresql", "publisher", "notifier", "gateway")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"])


@pytest.mark.parametrize("name", OURS)
def test_each_command_is_one_of_vbpr(services: dict[str, Any], name: str) -> None:
    command = services[name]["command"]
    assert command == ["vbpr", name]
    known = typer.main.get_command(app)
    assert name in known.list_commands(typer.Context(known))  # type: ignore[attr-defined]  # a group, typed as a command


@pytest.mark.parametrize("name", OURS)
def test_each_variable_is_a_setting(services: dict[str, Any], name: str) -> None:
    fields = {f"VBPR_{field.upper()}" for field in settings.Settings.model_fields}
    for variable in services[name]["environment"]:
        assert variable in fields or f'"{variable}"' in inspect.getsource(settings), variable


@pytest.mark.parametrize("name", ["publisher", "notifier"])
def test_the_settings_load_and_say_what_the_file_says(
    services: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in services[name]["environment"].items():
        monkeypatch.setenv(variable, re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value))
    loaded = settings.load()
    assert loaded.database_url("publisher").endswith("@postgresql:5432/vbpr_publisher")
    assert loaded.database_url("notifier").endswith("@postgresql:5432/vbpr_notifier")
    assert loaded.kafka_bootstrap_servers == "kafka:9092"
    assert loaded.fhir_base == "http://127.0.0.1:8080/fhir"
    assert (loaded.port, loaded.admin_port) == (8080, 8081)


def test_nobody_runs_as_root(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert str(service.get("user", "root")).split(":")[0] not in {"root", "0"}, name
    stages = (ROOT / "Dockerfile").read_text().split("\nFROM ")
    assert re.search(r"^USER 10001:10001$", stages[-1], re.MULTILINE)


@pytest.mark.parametrize("name", SERVERS)
def test_each_server_has_a_health_check_and_comes_back(services: dict[str, Any], name: str) -> None:
    assert services[name]["healthcheck"]["test"][0] == "CMD"
    assert services[name]["restart"] == "unless-stopped"


def test_nothing_starts_before_what_it_needs(services: dict[str, Any]) -> None:
    for name in ("publisher", "notifier"):
        assert services[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert set(services["migrate"]["depends_on"]) == {"kafka", "postgresql"}
    assert services["notifier"]["deploy"]["replicas"] == 2


def test_only_loopback_is_published(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_volumes_are_declared_and_files_exist(services: dict[str, Any]) -> None:
    declared = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["volumes"]
    for service in services.values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (ROOT / source).is_file() if source.startswith("./") else source in declared, volume


def test_the_image_is_pinned_checked_and_stopped_in_order() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert "pip install --require-hashes -r requirements.lock" in text
    assert "STOPSIGNAL SIGTERM" in text
    assert "/livez" in text


def _properties() -> dict[str, str]:
    lines = (ROOT / "deploy" / "kafka" / "server.properties").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_the_limits_line_up(services: dict[str, Any]) -> None:
    largest = settings.Settings.model_fields["max_report_bytes"].default + settings.HEADER_ROOM
    properties, environment = _properties(), services["kafka"]["environment"]
    for limit in ("message.max.bytes", "replica.fetch.max.bytes"):
        assert int(properties[limit]) > largest
        assert environment[f"KAFKA_{limit.upper().replace('.', '_')}"] == properties[limit]

    gateway = re.search(r"client_max_body_size (\d+)m;", (ROOT / "deploy/gateway/nginx.conf").read_text())
    assert gateway is not None
    assert int(gateway[1]) * settings.MIB > settings.Settings.model_fields["max_bundle_bytes"].default


def test_both_brokers_refuse_to_make_topics(services: dict[str, Any]) -> None:
    assert _properties()["auto.create.topics.enable"] == "false"
    assert services["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def _upstream(port: int, path: str) -> str | None:
    """Return the upstream the gateway chooses, by nginx's rules: exact, then regular expressions in order, then longest prefix."""
    text = (ROOT / "deploy" / "gateway" / "nginx.conf").read_text()
    server = next(part for part in text.split("\nserver {")[1:] if f"listen {port};" in part)
    found = re.findall(r"location (?:(=|~) )?(\S+) \{(.*?)\n    \}", server, re.DOTALL)
    exact = [body for how, what, body in found if how == "=" and what == path]
    matching = [body for how, what, body in found if how == "~" and re.search(what, path)]
    prefixes = sorted((what, body) for how, what, body in found if not how and path.startswith(what))
    body = (exact + matching + [body for _, body in reversed(prefixes)])[0]
    passed = re.search(r"proxy_pass http://(\w+);", body)
    return passed[1] if passed else None


@pytest.mark.parametrize(
    "path",
    [
        "/fhir/Subscription",
        "/fhir/Subscription/",
        "/fhir/Subscription/a1",
        "/fhir/Subscription/_search",
        "/fhir/Subscription/$status",
        "/fhir/Subscription/a1/$status",
        "/fhir/Subscription/a1/$events",
        "/fhir/Subscription/a1/_history/2",
        "/fhir/Basic/report-settled",
        "/fhir/SubscriptionTopic",
        "/fhir/SubscriptionTopic/report-settled",
        "/fhir/Subscription/$get-ws-binding-token",
        "/fhir/Subscription/a1/$get-ws-binding-token",
        "/fhir/ws",
    ],
)
def test_the_gateway_takes_subscriptions_and_topics_to_the_notifiers(path: str) -> None:
    assert _upstream(8080, path) == "notifier"


@pytest.mark.parametrize(
    "path",
    [
        "/fhir",
        "/fhir/",
        "/fhir/metadata",
        "/fhir/MeasureReport",
        "/fhir/MeasureReport/a1/_history/2",
        "/fhir/Measure",
        "/fhir/Organization/_search",
        "/fhir/Group/a1",
        "/fhir/SearchParameter/stage",
        "/fhir/SubscriptionLike",
        "/fhir/ws/x",
    ],
)
def test_the_gateway_takes_everything_else_to_the_publisher(path: str) -> None:
    assert _upstream(8080, path) == "publisher"


@pytest.mark.parametrize(
    ("port", "path"),
    [(8080, "/ops"), (8080, "/metrics"), (8080, "/fhirx"), (8081, "/fhir"), (8081, "/metrics")],
)
def test_the_gateway_shows_nothing_else(port: int, path: str) -> None:
    assert _upstream(port, path) is None


def test_operators_reach_the_notifiers_page() -> None:
    assert _upstream(8081, "/ops") == "operators"
    text = (ROOT / "deploy" / "gateway" / "nginx.conf").read_text()
    # Under the name in the address bar, by which the notifier knows whether it is to show them.
    assert "proxy_set_header Host $http_host;" in text.partition("listen 8081;")[2]
