"""`vbpr subscriptions`: create, list, show, test, pause, resume, delete."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from services.cli.errors import CommandError
from services.cli.subscriptions import show
from services.cli.subscriptions.client import FhirClient, connected
from services.cli.subscriptions.making import Wanted, resource
from services.cli.subscriptions.waiting import settled
from services.cli.watching import console, table
from services.clock import SystemClock
from services.event_loop import run_until_complete

PATIENCE = 30.0

Url = Annotated[
    str,
    typer.Option(help="FHIR base of the service.", envvar="VBPR_BASE_URL", show_default="from the settings"),
]
Id = Annotated[str, typer.Argument(metavar="ID", help="Logical id of the Subscription.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print what the server answered.")]

app = typer.Typer(
    name="subscriptions",
    help="Create, see, test, pause, resume and delete Subscriptions.",
    no_args_is_help=True,
)


@app.command()
def create(
    file: Annotated[
        Path | None, typer.Argument(help="A Subscription as JSON; the options then do not count.")
    ] = None,
    endpoint: Annotated[str, typer.Option(help="URL that is notified.")] = "",
    topic: Annotated[str | None, typer.Option(help="A topic: report-settled, or its canonical.")] = None,
    criteria: Annotated[str | None, typer.Option(help="Instead of a topic: MeasureReport?contract=…")] = None,
    filters: Annotated[
        list[str] | None, typer.Option("--filter", help="Of a topic, several times: stage=settled.")
    ] = None,
    payload: Annotated[
        str | None, typer.Option(help="empty, id-only or full-resource; with --criteria also none.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option(help="Sent along, several times: 'Name: value'.")
    ] = None,
    max_count: Annotated[int | None, typer.Option(help="Most events in one notification.", min=1)] = None,
    timeout: Annotated[int | None, typer.Option(help="Seconds for one try.", min=1)] = None,
    heartbeat: Annotated[
        int | None, typer.Option(help="Seconds of silence before a heartbeat.", min=1)
    ] = None,
    latest_only: Annotated[
        bool,
        typer.Option("--latest-only", help="After an outage, skip versions that a later one supersedes."),
    ] = False,
    end: Annotated[str | None, typer.Option(help="When it ends: 2027-01-01T00:00:00Z.")] = None,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Create a Subscription, and say whether its endpoint took the handshake.

    Exit code: 0 active, 1 the endpoint did not take the handshake, 2 refused or not reached.

    Example: `vbpr subscriptions create --topic report-settled --endpoint https://provider.example/hook`
    """
    if file is not None:
        wanted = _read(file)
    else:
        if not endpoint or (topic is None) == (criteria is None):
            raise CommandError(
                "give --endpoint and either --topic or --criteria, or a file with a Subscription."
            )
        wanted = resource(
            Wanted(
                endpoint,
                topic,
                criteria,
                filters or (),
                payload,
                header or (),
                max_count,
                timeout,
                heartbeat,
                latest_only or None,
                end,
            )
        )
    run_until_complete(_create(url, wanted, as_json=as_json))


@app.command(name="list")
def list_subscriptions(
    status: Annotated[str | None, typer.Option(help="Only those: requested, active, error, off.")] = None,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """List the Subscriptions that you may see.

    Example: `vbpr subscriptions list --status error`
    """
    run_until_complete(_list(url, {} if status is None else {"status": status}, as_json=as_json))


@app.command(name="show")
def show_one(subscription: Id, url: Url = "", as_json: AsJson = False) -> None:
    """Show one Subscription: what it asks for, how many events it had, and its last failure.

    Example: `vbpr subscriptions show 0198…`
    """
    run_until_complete(_show(url, subscription, as_json=as_json))


@app.command(name="test")
def try_endpoint(subscription: Id, url: Url = "") -> None:
    """Try the endpoint: a new handshake for a topic, the last event again for classic criteria.

    Exit code: 0 it took the handshake or the event is on its way, 1 it did not.

    Example: `vbpr subscriptions test 0198…`
    """
    run_until_complete(_test(url, subscription))


@app.command()
def pause(subscription: Id, url: Url = "") -> None:
    """Switch a Subscription off. What is published meanwhile is not told later.

    Example: `vbpr subscriptions pause 0198…`
    """
    run_until_complete(_set_status(url, subscription, "off"))


@app.command()
def resume(subscription: Id, url: Url = "") -> None:
    """Ask for a Subscription again: a handshake for a topic, then what it is still owed, in order.

    Example: `vbpr subscriptions resume 0198…`
    """
    run_until_complete(_set_status(url, subscription, "requested"))


@app.command()
def delete(
    subscription: Id,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = "",
) -> None:
    """Delete a Subscription; what it is still owed is given up.

    Example: `vbpr subscriptions delete 0198… --yes`
    """
    if not yes:
        typer.confirm(f"Delete Subscription/{subscription}, and give up what it is owed?", abort=True)
    run_until_complete(_delete(url, subscription))


def _read(file: Path) -> dict[str, Any]:
    try:
        found = orjson.loads(file.read_bytes())
    except ValueError as wrong:
        raise CommandError(f"{file} is not JSON: {wrong}.") from None
    if not isinstance(found, dict):
        raise CommandError(f"{file} holds no resource.")
    return found


async def _create(base: str, wanted: dict[str, Any], *, as_json: bool) -> None:
    async with connected(base) as client:
        made = await client.ask("POST", "Subscription", wanted)
        _tell(await settled(client, made["id"], SystemClock(), patience=PATIENCE), as_json=as_json)


async def _list(base: str, query: dict[str, str], *, as_json: bool) -> None:
    async with connected(base) as client:
        found = [each async for each in client.entries("Subscription", **query)]
    if as_json:
        print(orjson.dumps(found).decode())
    elif found:
        console().print(table(show.HEADINGS, map(show.row, found)))
    else:
        print("There is no Subscription to see.")


async def _show(base: str, logical_id: str, *, as_json: bool) -> None:
    async with connected(base) as client:
        found = await client.ask("GET", f"Subscription/{logical_id}")
        standing = await client.ask("GET", f"Subscription/{logical_id}/$status")
    if as_json:
        print(orjson.dumps({"subscription": found, "status": standing}).decode())
        return
    for name, value in show.details(found, standing):
        print(f"{name:14} {value}")


async def _test(base: str, logical_id: str) -> None:
    async with connected(base) as client:
        found = await client.ask("GET", f"Subscription/{logical_id}")
        if found["status"] == "off":
            raise CommandError(
                f"it is off, and a try would switch it on: vbpr subscriptions resume {logical_id}."
            )
        if not str(found["criteria"]).startswith("MeasureReport"):
            await _asked(client, logical_id, "requested")
            _tell(await settled(client, logical_id, SystemClock(), patience=PATIENCE), as_json=False)
            return
        events = await client.ask("GET", f"Subscription/{logical_id}/$status")
        named = {each["name"]: each for each in events["entry"][0]["resource"]["parameter"]}
        last = named["events-since-subscription-start"]["valueString"]
        if last == "0":
            raise CommandError(
                "it had no event yet, and classic criteria know no handshake: publish a report first."
            )
        asked = [{"name": "eventsSinceNumber", "valueString": last}]
        told = await client.ask(
            "POST", f"Subscription/{logical_id}/$resend", {"resourceType": "Parameters", "parameter": asked}
        )
    print("\n".join(issue["diagnostics"] for issue in told["issue"]))


async def _set_status(base: str, logical_id: str, status: str) -> None:
    async with connected(base) as client:
        found = await _asked(client, logical_id, status)
        if status == "requested":
            found = await settled(client, logical_id, SystemClock(), patience=PATIENCE)
    _tell(found, as_json=False)


async def _asked(client: FhirClient, logical_id: str, status: str) -> dict[str, Any]:
    return await client.patch(logical_id, {"op": "replace", "path": "/status", "value": status})


async def _delete(base: str, logical_id: str) -> None:
    async with connected(base) as client:
        await client.ask("DELETE", f"Subscription/{logical_id}")
    print(f"Subscription/{logical_id} is deleted.")


def _tell(found: dict[str, Any], *, as_json: bool) -> None:
    print(orjson.dumps(found).decode() if as_json else show.became(found))
    if found["status"] in {"error", "requested"}:
        raise typer.Exit(1)
