"""Every setting, its default and what it is for. `docs/settings.md` is generated from these classes.

Read from environment variables `VBPR_*`, then from the TOML file that `VBPR_CONFIG` names, if any.
Durations are seconds, sizes are bytes.
"""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

MIB = 1024 * 1024
HEADER_ROOM = MIB
"""What a record may need beyond the report itself; the same allowance at producer, topic and consumer."""


class SettingsError(Exception):
    """A setting cannot be used; the message names the variable, what was found and what was expected."""


class Settings(BaseSettings):
    """The settings of one process."""

    model_config = SettingsConfigDict(env_prefix="VBPR_", extra="ignore", frozen=True)

    # Where it is reached
    base_url: str = Field(
        "", description="Base of every link, ending in `/fhir`; empty: `http://HOST:PORT/fhir`."
    )
    host: str = Field("127.0.0.1", description="Address that serves `/fhir`.")
    port: int = Field(8080, ge=0, le=65535, description="Port that serves `/fhir`; 0 takes a free one.")
    admin_host: str = Field(
        "127.0.0.1", description="Address that serves `/livez`, `/readyz`, `/metrics`, `/ops`."
    )
    admin_port: int = Field(8081, ge=0, le=65535, description="Port of the same; 0 takes a free one.")
    admin_hosts: str = Field(
        "",
        description="Names, `host,…`, under which browsers may open `/ops` beside any address, `localhost` and"
        " `admin_host`; others are answered 421.",
    )
    trusted_network: bool = Field(
        default=False, description="Serve other addresses than loopback: something in front authenticates."
    )

    # State
    data_dir: Path = Field(Path("var"), description="Folder of `vbpr serve`'s SQLite files.")
    witness_file: Path | None = Field(
        None,
        description="Small file by which `vbpr serve` notices that its notifier's database was restored; keep it out of"
        " backups. Empty: `notifier.witness` in `data_dir`.",
    )
    publisher_database_url: SecretStr = Field(
        SecretStr(""), description="SQLAlchemy URL of the publisher's database; empty: SQLite in `data_dir`."
    )
    notifier_database_url: SecretStr = Field(
        SecretStr(""), description="SQLAlchemy URL of the notifier's database; empty: SQLite in `data_dir`."
    )
    database_pool_size: int = Field(10, ge=2, description="Connections one process keeps to its database.")
    database_idle_seconds: float = Field(
        30.0,
        ge=1,
        description="How long a transaction may stand idle before PostgreSQL ends it, with the locks it holds.",
    )

    database_transaction_seconds: float = Field(
        600.0,
        ge=0,
        description="How long a transaction may take in all before PostgreSQL 17 or newer ends it, with the locks it"
        " holds; 0: no limit.",
    )

    # Event log
    kafka_bootstrap_servers: str = Field(
        "", description="Kafka brokers, `host:port,…`; needed by publisher and notifier."
    )
    kafka_topic: str = Field("vbpr.measure-reports.v1", description="Topic of the events.")
    kafka_partitions: int = Field(
        12, ge=1, description="Partitions the topic must have; never changed in place."
    )
    kafka_replication_factor: int = Field(
        1, ge=1, description="Replicas of the topic when `vbpr migrate` creates it."
    )
    kafka_group: str = Field("vbpr-notifier", description="Consumer group that shares the partitions out.")
    kafka_session_seconds: float = Field(
        30.0, ge=6, description="Silence after which a notifier counts as dead and others get its partitions."
    )
    kafka_request_timeout: float = Field(10.0, gt=0, description="Longest wait for one answer of a broker.")

    # Intake
    max_report_bytes: int = Field(4 * MIB, ge=1024, description="Largest report accepted, as sent.")
    max_bundle_bytes: int = Field(32 * MIB, ge=1024, description="Largest Bundle accepted, as sent.")
    max_json_depth: int = Field(64, ge=8, description="Deepest nesting of JSON accepted.")
    outbox_limit: int = Field(
        100_000, ge=1, description="Events waiting for the log at which intake answers 503."
    )
    stage_tags: dict[str, dict[str, str]] = Field(
        default_factory=dict,
        description="Per payer: its own tag, code or extension value (`system|code`) to report stage.",
    )

    # Delivery
    allow_private_endpoints: bool = Field(
        default=False, description="Deliver to loopback and private addresses; for one machine and for tests."
    )
    allow_http_endpoints: bool = Field(
        default=False, description="Accept `http:` endpoints; for one machine and for tests."
    )
    workers: int = Field(
        64, ge=1, description="Lanes one process sends for at a time; half as many again for retries."
    )
    endpoint_lanes: int = Field(
        16, ge=1, description="Lanes one process sends for to one endpoint (scheme, host, port) at a time."
    )
    endpoint_rate: float = Field(0.0, ge=0, description="Requests a second to one endpoint; 0: no limit.")
    lease_seconds: float = Field(
        90.0, gt=0, description="How long a claimed lane stays claimed without a heartbeat."
    )
    total_deadline: float = Field(
        20.0, gt=0, description="Longest a try may take: connect, headers and body."
    )
    notification_bytes: int = Field(
        MIB,
        ge=16 * 1024,
        description="Largest notification that carries more than one report; a report larger than that goes alone.",
    )
    response_bytes: int = Field(16 * 1024, ge=0, description="Most of a response that is read.")
    poll_seconds: float = Field(1.0, gt=0, description="How often a loop looks without having been woken.")
    retry_schedule: tuple[float, ...] = Field(
        (5, 15, 60, 300, 900, *(3600,) * 75),
        description="Waits before the tries that follow a failed one; after the last the lane is parked.",
    )
    websocket_token_seconds: float = Field(
        3600.0,
        ge=1,
        description="How long a token of `$get-ws-binding-token` is good for, and a websocket bound with it.",
    )
    websocket_connections: int = Field(
        1000, ge=0, description="Websockets one process takes at a time; 0: none."
    )
    handshake_schedule: tuple[float, ...] = Field(
        (1, 4, 10), description="Waits before the tries of a handshake that follow a failed one."
    )

    # Retention: days that rows are kept; what is owed stays however old it is
    keep_events_days: int = Field(
        400,
        ge=0,
        description="Days the notifier keeps events with their notifications, to send again and to compare with; 0: for ever.",
    )
    keep_event_ids_days: int = Field(
        800,
        ge=0,
        description="Days a second copy of an event is known by its id; an older one is refused and listed. 0: for ever.",
    )
    keep_attempts_days: int = Field(90, ge=0, description="Days the history of tries is kept; 0: for ever.")
    keep_dead_letters_days: int = Field(
        90, ge=0, description="Days records that could not be read are kept; 0: for ever."
    )
    keep_outbox_days: int = Field(
        30,
        ge=0,
        description="Days the publisher can emit an event again, counted from its acceptance; 0: for ever.",
    )
    prune_index: bool = Field(
        True, description="Whether what the search index says of no report any more is removed from it."
    )
    keep_audit_days: int = Field(
        2192, ge=0, description="Days the audit trails of both services are kept: six years; 0: for ever."
    )
    keep_subscription_versions_days: int = Field(
        2192, ge=0, description="Days the former versions of Subscriptions are kept: six years; 0: for ever."
    )
    error_days: int = Field(
        30, ge=0, description="Days in `error` after which a Subscription is turned `off`; 0: never."
    )
    unbound_days: int = Field(
        30,
        ge=0,
        description="Days without a client after which a Subscription on a websocket is turned `off`; 0: never.",
    )
    off_days: int = Field(
        90, ge=0, description="Days in `off` after which what is owed is given up as expired; 0: never."
    )

    # Watching
    log_format: Literal["json", "console"] = Field("json", description="Shape of the log lines.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe line logged."
    )

    @model_validator(mode="after")
    def _loopback_without_authentication(self) -> Settings:
        if not _is_loopback(self.host) and not self.trusted_network:
            raise ValueError(
                f"VBPR_HOST is {self.host}, but no authentication is configured, so only loopback is served; "
                "set VBPR_TRUSTED_NETWORK=true when something in front of it authenticates every request"
            )
        return self

    @property
    def fhir_base(self) -> str:
        """The base of every link, without a slash at its end."""
        return (self.base_url or f"http://{self.host}:{self.port}/fhir").rstrip("/")

    def database_url(self, service: Literal["publisher", "notifier"]) -> str:
        """Return the SQLAlchemy URL of a service's database."""
        given = self.publisher_database_url if service == "publisher" else self.notifier_database_url
        return given.get_secret_value() or f"sqlite+aiosqlite:///{self.data_dir / service}.sqlite"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # pydantic-settings names its arguments
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments go before the environment, the environment before the file."""
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
        if path := os.environ.get("VBPR_CONFIG"):
            sources += (TomlConfigSettingsSource(settings_cls, Path(path)),)
        return sources


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load(**overrides: object) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: one sentence per setting that cannot be used.
    """
    path = os.environ.get("VBPR_CONFIG")
    if path and not Path(path).is_file():
        raise SettingsError(f"VBPR_CONFIG names {path}, which is not a file")
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # names come from the command line's own options
    except ValidationError as wrong:
        lines = []
        for error in wrong.errors():
            name = "_".join(["VBPR", *(str(part).upper() for part in error["loc"])]) if error["loc"] else ""
            message = error["msg"].removeprefix("Value error, ")
            lines.append(f"{name}: {message} (found {error['input']!r})" if name else message)
        raise SettingsError("\n".join(lines)) from None


def settings_table() -> str:
    """Return every setting, its default and what it is for, as a Markdown table."""
    rows = ["| variable | default | what it is for |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True, validated_data={})
        purpose = (field.description or "").replace("|", r"\|")
        rows.append(f"| `VBPR_{name.upper()}` | {_shown(default)} | {purpose} |")
    return "\n".join(rows)


def _shown(value: object) -> str:
    match value:
        case SecretStr() | "" | None | {}:
            return ""
        case tuple():
            first, times = value[-1], 0
            while times < len(value) and value[-1 - times] == first:
                times += 1
            shown = ", ".join(f"{wait:g}" for wait in (value if times < 4 else value[: len(value) - times]))
            return f"`[{shown}]`" if times < 4 else f"`[{shown}]`, then {times} times `{first:g}`"
        case bool():
            return f"`{str(value).lower()}`"
        case _:
            return f"`{value}`"
