"""`vbpr subscribe`: a few questions that end in a working Subscription."""

from __future__ import annotations

from typing import Any

import typer

from schemas.fhir import BACKPORT_TOPIC_CANONICAL, OURS
from schemas.search.parameters import MEASURE_REPORT
from schemas.topics import find
from services.cli.errors import CommandError
from services.cli.subscriptions import show
from services.cli.subscriptions.client import FhirClient, connected
from services.cli.subscriptions.command import PATIENCE, Url
from services.cli.subscriptions.making import Wanted, resource
from services.cli.subscriptions.waiting import settled
from services.clock import SystemClock
from services.event_loop import run_until_complete

_LEVELS = ("full-resource", "id-only", "empty")
_USUAL = "report-available"
_SHOWN = 20


def subscribe(url: Url = "") -> None:
    """Subscribe step by step: what to be told of, where, and how much; then the first handshake.

    Example: `vbpr subscribe --url http://127.0.0.1:8080/fhir`
    """
    run_until_complete(_subscribe(url))


async def _subscribe(base: str) -> None:
    async with connected(base) as client:
        topics = await _topics(client)
        while True:
            wanted = await _wanted(client, topics)
            try:
                foreseen = await client.ask("POST", "Subscription/$preview", wanted)
            except CommandError as refused:
                print(f"{refused}\nOnce more, please.")
                continue
            break
        counts = {each["name"]: each for each in foreseen["parameter"]}
        print(
            f"Of {counts['looked-at']['valueUnsignedInt']} events kept here it would have told you of "
            f"{counts['fired']['valueUnsignedInt']}."
        )
        typer.confirm("Create it?", default=True, abort=True)
        made = await client.ask("POST", "Subscription", wanted)
        found = await settled(client, made["id"], SystemClock(), patience=PATIENCE)
    print(show.became(found))
    if found["status"] != "active":
        raise typer.Exit(1)


async def _wanted(client: FhirClient, topics: list[str]) -> dict[str, Any]:
    topic = _chosen("What do you want to be told of?", topics, _USUAL)
    filters = await _filters(client, topic)
    endpoint = typer.prompt("Where to? The URL that is notified (vbpr listen gives you one to try)")
    level = _chosen("How much is to be sent?", list(_LEVELS))
    secret = typer.prompt(
        "A header to send along, 'Name: value' (leave empty for none)", default="", show_default=False
    )
    headers = [secret] if secret else []
    return resource(Wanted(endpoint, topic, None, filters, level, headers, reason="vbpr subscribe"))


async def _topics(client: FhirClient) -> list[str]:
    statement = await client.ask("GET", "metadata")
    (entry,) = (each for each in statement["rest"][0]["resource"] if each["type"] == "Subscription")
    listed = (each for each in entry.get("extension", ()) if each["url"] == BACKPORT_TOPIC_CANONICAL)
    return [str(each["valueCanonical"]).removeprefix(f"{OURS}SubscriptionTopic/") for each in listed]


async def _filters(client: FhirClient, topic: str) -> list[str]:
    filters = []
    contracts: list[dict[str, Any]] = []
    async for each in client.entries("Measure", _count=str(_SHOWN)):
        contracts.append(each)
        if len(contracts) == _SHOWN:
            break
    if contracts:
        names = ["every contract", *(str(each["url"]) for each in contracts)]
        found = _chosen("Of which contract?", names)
        filters += [] if found == names[0] else [f"contract={found}"]
    known = find(f"{OURS}SubscriptionTopic/{topic}")
    if known is not None and known.crosses:
        watched = _chosen("A bound of what?", list(known.crosses))
        filters.append(f"{watched}={typer.prompt(f'Which bound? Such as {MEASURE_REPORT[watched].example}')}")
    more = typer.prompt(
        "Another filter, such as stage=settled (leave empty for none)", default="", show_default=False
    )
    return [*filters, more] if more else filters


def _chosen(question: str, options: list[str], usual: str = "") -> str:
    """Return the option chosen: `usual`, or else the first, where nothing is answered."""
    print(question)
    for place, option in enumerate(options, start=1):
        print(f"  {place}  {option}")
    default = options.index(usual) + 1 if usual in options else 1
    while not 1 <= (number := int(typer.prompt("Number", type=int, default=default))) <= len(options):
        print(f"Please give a number from 1 to {len(options)}.")
    return options[number - 1]
