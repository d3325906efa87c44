"""`vbpr`: every command in one place, and every foreseeable failure as one sentence with exit code 2."""

from __future__ import annotations

import sys

import typer

from services.cli.commands import Commands

app = typer.Typer(
    name="vbpr",
    cls=Commands,
    help=(
        "Tells providers the moment a payer's value-based performance report is there: FHIR reports in, "
        "FHIR Subscriptions matched, notifications out."
    ),
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _vbpr() -> None:
    """Make it a group of commands, whatever their number."""


def main() -> None:
    """Run the command line: the entry point `vbpr`."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        from services.cli.errors import sentence

        said = sentence(error)
        if said is None:
            raise
        print(f"vbpr: {said}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
