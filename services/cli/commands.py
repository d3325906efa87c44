"""Which commands are there, and where is each? A command's module is loaded when that command runs, not before.

What a command needs takes up to a second to load; a user who asks for `vbpr --help`, or runs another command,
does not wait for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

_RUN, _USE = "Run the services", "Use them"


@dataclass(frozen=True, slots=True)
class Listed:
    """A command as `vbpr --help` lists it."""

    name: str
    module: str
    attribute: str
    """A function, or a `typer.Typer` with commands of its own."""
    panel: str
    says: str
    """The first sentence of its help: written twice so that it need not be loaded to be listed; a test compares."""

    def listed(self) -> TyperCommand:
        """Return what stands for it in the list."""
        return TyperCommand(self.name, help=self.says, rich_help_panel=self.panel)

    def loaded(self, context: Any) -> Any:
        """Return the command itself, made as the group that `context` belongs to makes its own."""
        found = getattr(import_module(f"services.cli.{self.module}"), self.attribute)
        home = typer.Typer(rich_markup_mode=context.command.rich_markup_mode, add_completion=False)
        if isinstance(found, typer.Typer):
            home.add_typer(found, name=self.name)
        else:
            home.command(self.name)(found)
        return typer.main.get_group(home).commands[self.name]


COMMANDS: Final = {
    each.name: each
    for each in (
        Listed("serve", "serve", "serve", _RUN,
               "Run publisher and notifier in one process, with SQLite: needs nothing else."),
        Listed("publisher", "publisher", "publisher", _RUN,
               "Run the publisher alone: reports in, events onto Kafka."),
        Listed("notifier", "notifier", "notifier", _RUN,
               "Run the notifier alone: events from Kafka, notifications to endpoints."),
        Listed("migrate", "migrate", "migrate", _RUN,
               "Bring both databases to this version, and make Kafka's topic if Kafka is configured."),
        Listed("publish", "publish.command", "publish", _USE,
               "Publish reports, and say of each whether it was accepted or why not."),
        Listed("validate", "validate.command", "validate", _USE,
               "Judge reports and contracts by FHIR R4 and VBPR, without a server or a database."),
        Listed("listen", "listen.command", "listen", _USE,
               "Receive notifications on this machine and check each one."),
        Listed("subscribe", "subscriptions.guided", "subscribe", _USE,
               "Subscribe step by step: what to be told of, where, and how much; then the first handshake."),
        Listed("subscriptions", "subscriptions.command", "app", _USE,
               "Create, see, test, pause, resume and delete Subscriptions."),
        Listed("status", "status", "status", _USE,
               "Show what was accepted, what is owed to whom and since when, why the last try failed and when the next is."),
        Listed("deliveries", "deliveries", "app", _USE,
               "See every delivery, retry and failure; retry, skip and send again. Works whether or not the notifier runs."),
        Listed("recover", "recovery.replay", "recover", _USE,
               "Send again everything that was given up since a point in time, and if asked what was delivered."),
        Listed("emit", "recovery.emit", "emit", _USE,
               "Emit events again that the publisher has emitted before, under the ids they had."),
        Listed("positions", "recovery.positions", "app", _USE,
               "Where each partition of the event log is read on; what to do when reading has stopped."),
        Listed("demo", "demo.command", "demo", _USE,
               "See the whole path work on this machine, crash included."),
    )
}  # fmt: skip


class Commands(TyperGroup):
    """The group of all commands: lists them unloaded, and loads the one that runs."""

    def __init__(self, **settings: Any) -> None:
        """Fill the list; `settings` are the group's own."""
        super().__init__(**settings)
        self.commands.update({name: each.listed() for name, each in COMMANDS.items()})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that `args` begin with, and load it."""
        if args and (found := COMMANDS.get(args[0])) is not None:
            self.commands[found.name] = found.loaded(ctx)
        return super().resolve_command(ctx, args)
