"""The options of `vbpr validate`."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer
from rich.console import Console

from services.cli.errors import CommandError
from services.cli.publish.sources import files, resources
from services.cli.validate import show
from services.cli.validate.judge import Judge
from services.publisher.check.editions import by_canonical


def validate(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE…", help="JSON or NDJSON files, Bundles, folders of them, or - for standard input."
        ),
    ],
    profile: Annotated[
        str, typer.Option(help="Canonical of the VBPR profile to judge all by, with or without |version.")
    ] = "",
    notes: Annotated[
        bool, typer.Option("--notes", help="Print what is missing of Must Support elements as well.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a resource.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only what is not valid.")] = False,
) -> None:
    """Judge reports and contracts by FHIR R4 and VBPR, without a server or a database.

    Each finding says where (file, line and FHIRPath), what was found, what is expected and by which rule.
    Reports are compared with those contracts that come before them in the same run.

    Exit code: 0 all valid, 1 something is not, 2 a source could not be read.

    Example: `vbpr validate contracts/ reports/`
    """
    if profile and by_canonical(profile, {}) is None:
        raise CommandError(f"{profile} is no profile of VBPR; give the canonical of one, or none.")
    console = Console(soft_wrap=True, highlight=False)
    judge, tally = Judge(profile), show.Tally()
    for file in files(sources):
        for resource in resources(file):
            verdict = judge.judge(resource)
            tally.count(verdict)
            if quiet and verdict.valid:
                continue
            if as_json:
                print(orjson.dumps(show.as_json(verdict)).decode())
            else:
                console.print(show.line(verdict, notes=notes))
    if not as_json:
        console.print(tally.summary)
    raise typer.Exit(1 if tally.invalid else 0)
