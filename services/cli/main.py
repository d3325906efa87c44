"""`vbpr`: every command in one place, and every foreseeable failure as one sentence with exit code 2."""

from __future__ import annotations

import sys

import typer

from services.cli import deliveries
from services.cli.demo.command import demo
from services.cli.errors import sentence
from services.cli.listen.command import listen
from services.cli.migrate import migrate
from services.cli.notifier import notifier
from services.cli.publish.command import publish
from services.cli.publisher import publisher
from services.cli.recovery.emit import emit
from services.cli.recovery.positions import app as positions
from services.cli.recovery.replay import recover
from services.cli.serve import serve
from services.cli.status import status

app = typer.Typer(
    name="vbpr",
    help=(
        "Tells providers the moment a payer's value-based performance report is there: FHIR reports in, "
        "FHIR Subscriptions matched, notifications out."
    ),
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
)

RUN, USE = "Run the services", "Use them"

app.command(rich_help_panel=RUN)(serve)
app.command(rich_help_panel=RUN)(publisher)
app.command(rich_help_panel=RUN)(notifier)
app.command(rich_help_panel=RUN)(migrate)
app.command(rich_help_panel=USE)(publish)
app.command(rich_help_panel=USE)(listen)
app.command(rich_help_panel=USE)(status)
app.add_typer(deliveries.app, rich_help_panel=USE)
app.command(rich_help_panel=USE)(recover)
app.command(rich_help_panel=USE)(emit)
app.add_typer(positions, rich_help_panel=USE)
app.command(rich_help_panel=USE)(demo)


def main() -> None:
    """Run the command line: the entry point `vbpr`."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        said = sentence(error)
        if said is None:
            raise
        print(f"vbpr: {said}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
