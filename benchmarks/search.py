"""How long does a search take, by the number of stored reports? One page of fifty, each kind of search, both databases."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.result import Result, percentile, run
from benchmarks.servers import BACKENDS, Backend, place
from benchmarks.shelf import A_CONTRACT, BASE, MONTHS, contract_url, fill
from schemas.facets import EVERY_ORGANISATION
from services.clock import SystemClock
from services.database import Database
from services.principal import LOCAL, Principal
from services.publisher.accept.search.searching import Searching
from services.publisher.wiring import MIGRATIONS

SIZES, QUICK = (1_000, 20_000, 200_000), (1_000, 20_000)
ROUNDS = 25
MOST_MILLISECONDS = 50

OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "keep": {"type": Path, "metavar": "FOLDER", "help": "fill databases there, and use again what is there"},
    "size": {"type": int, "metavar": "REPORTS", "help": "how many reports (default: each of the sizes)"},
    "backend": {"choices": BACKENDS, "help": "which database (default: both)"},
    "only": {"default": "", "metavar": "TEXT", "help": "only the searches whose name has this text"},
}


def _month(of: Random) -> str:
    number = of.randrange(MONTHS)
    return f"{2024 + number // 12}-{1 + number % 12:02d}"


def cases(reports: int) -> dict[str, Callable[[Random], str]]:
    """Return a query of each kind; what is asked for differs from call to call."""
    contracts = max(1, reports // A_CONTRACT)
    settled = "stage=settled"
    return {
        "everything": lambda _: "",
        "everything, newest first": lambda _: "_sort=-_lastUpdated",
        "by contract": lambda of: f"contract={contract_url(of.randrange(contracts))}",
        "by contract and stage, newest period first": lambda of: (
            f"contract={contract_url(of.randrange(contracts))}&{settled}&kind=performance&_sort=-period"
        ),
        "by contract, what it lists along": lambda of: (
            f"contract={contract_url(of.randrange(contracts))}&kind=performance"
            "&_include=MeasureReport:evaluated-resource"
        ),
        "by provider": lambda of: f"provider=Organization/provider-{of.randrange(contracts) // 4}",
        "by provider identifier": lambda of: (
            f"provider-identifier=http://hl7.org/fhir/sid/us-npi|{1_000_000 + of.randrange(contracts) // 4}"
        ),
        "by payer and stage, newest first": lambda of: (
            f"payer=Organization/payer-{of.randrange(20)}&stage=interim&_sort=-_lastUpdated"
        ),
        "by payer, period and kind": lambda of: (
            f"payer=Organization/payer-{of.randrange(20)}&period={_month(of)}&kind=performance"
        ),
        "by payer, newest first": lambda of: f"payer=Organization/payer-{of.randrange(20)}&_sort=-date",
        "by stage, half of all": lambda _: settled,
        "by stage, half of all, newest first": lambda _: f"{settled}&_sort=-_lastUpdated",
        "by stage, of few": lambda _: "stage=withdrawn",
        "by stage, of the last months": lambda _: "stage=interim",
        "by what is not": lambda _: "stage:not=settled&kind=performance",
        "by a status that is rare": lambda _: "status:not=complete",
        "by status and kind": lambda _: "status=complete&kind=quality&_sort=-_lastUpdated",
        "by identifier": lambda of: f"identifier=urn:payer:reports|{of.randrange(reports)}",
        "by listed report": lambda of: f"evaluated-resource=MeasureReport/none-{of.randrange(reports)}",
        "by period, from": lambda of: f"period=ge{_month(of)}",
        "by period, from the last month": lambda _: f"period=ge{2024 + (MONTHS - 1) // 12}-01",
        "by period, within": lambda of: f"period={_month(of)}",
        "by period, over a month": lambda of: f"period=ge{(month := _month(of))}&period=le{month}",
        "by date, over a month": lambda of: f"date=ge{(month := _month(of))}&date=le{month}",
        "by date, from, newest first": lambda of: f"date=ge{_month(of)}&_sort=-date",
        "by when it was stored": lambda of: f"_lastUpdated=ge{_month(of)}",
        "by when it was stored, over three days": lambda of: (
            f"_lastUpdated=ge{(month := _month(of))}-01&_lastUpdated=le{month}-03"
        ),
        "by quality measure and stage, newest first": lambda of: (
            f"quality-measure=https://measures.example/Measure/q{of.randrange(3)}&{settled}&_sort=-date"
        ),
        "by service period, from": lambda of: f"service-period=ge{_month(of)}",
        "by contracts below a url": lambda of: (
            f"contract:below=https://payer.example/Measure/{of.randrange(1, 10)}"
        ),
        "by score": lambda of: f"metric-score=avg-risk-score$lt{of.randrange(1, 500) / 100}",
        "by score of few": lambda of: f"metric-score=avg-risk-score$lt{of.randrange(1, 10) / 100}",
        "by contract, period and score": lambda of: (
            f"contract={contract_url(of.randrange(contracts))}&period=ge{_month(of)}&metric-score=avg-risk-score$lt3"
        ),
        "by stage, period and score": lambda of: (
            f"{settled}&period=ge{_month(of)}&metric-score=avg-risk-score$lt3"
        ),
        "without a score": lambda _: "subject:missing=true",
    }


async def measure(
    result: Result, quick: bool, *, keep: Path | None, size: int | None, backend: Backend | None, only: str
) -> None:
    """Measure every size on both databases, or those that are named."""
    for each in (backend,) if backend else BACKENDS:
        for reports in (size,) if size else QUICK if quick else SIZES:
            with place(keep) as somewhere:
                url = await somewhere.filled(each, f"search_{reports}", partial(fill, reports=reports))
                await timed(result, f"{each}, {reports:,}", url, reports, only)


async def timed(result: Result, name: str, url: str, size: int, only: str) -> None:
    """Measure every kind of search on one database, as an operator and as a provider."""
    database = Database(url)
    await MIGRATIONS.upgrade(database)  # it may have been filled by an older version
    searching = Searching(database, SystemClock(), BASE)
    provider = Principal("provider", "provider", frozenset({"Organization/provider-1"}))
    for case, query in cases(size).items():
        if only in case:
            await _case(result, f"{name}: {case}", searching, query, LOCAL)
    for case in ("everything, newest first", "by period, from"):
        if only in case:
            await _case(result, f"{name}, as a provider: {case}", searching, cases(size)[case], provider)
    await database.close()


async def _case(
    result: Result, case: str, searching: Searching, query: Callable[[Random], str], principal: Principal
) -> None:
    clock, of, taken, found = SystemClock(), Random(case), [], 0  # as above
    before = sum(os.times()[:2])
    for _ in range(ROUNDS):
        asked = query(of)
        started = clock.monotonic()
        bundle = await searching.searchset("MeasureReport", asked, principal, lenient=False)
        taken.append((clock.monotonic() - started) * 1000)
        found += len(bundle.get("entry", ()))
    if not found and "none-" not in query(of) and EVERY_ORGANISATION in principal.organisations:
        result.faults.append(f"{case}: found nothing")
    result.figure(f"{case}, processor", (sum(os.times()[:2]) - before) * 1000 / ROUNDS, "ms")
    result.figure(f"{case}, median", statistics.median(taken), "ms")
    result.at_most(f"{case}, p95", percentile(taken, 95), "ms", MOST_MILLISECONDS)


if __name__ == "__main__":
    sys.exit(run("search", __doc__, measure, options=OPTIONS))
