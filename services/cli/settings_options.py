"""The options that the commands that run services share; each overrides the setting of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from services.settings import Settings

Port = Annotated[
    int | None,
    typer.Option(help="Port that serves /fhir; 0 takes a free one. [VBPR_PORT, 8080]", min=0, max=65535),
]
AdminPort = Annotated[
    int | None,
    typer.Option(
        help="Port of /livez, /readyz, /metrics and /ops; 0 takes a free one. [VBPR_ADMIN_PORT, 8081]",
        min=0,
        max=65535,
    ),
]


def load(**given: object) -> Settings:
    """Read the settings, options that were given going before the environment, and set up the logs.

    Raises:
        SettingsError: one sentence per setting that cannot be used.
    """
    from services import logs, settings

    loaded = settings.load(**{name: value for name, value in given.items() if value is not None})
    logs.configure(loaded.log_format, loaded.log_level)
    return loaded
