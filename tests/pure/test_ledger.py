"""The harness itself is tested: whatever is tampered with, the ledger finds it and says so."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
import pytest

from schemas import examples
from tests.ledger.criteria import fires
from tests.ledger.inputs import Accepted, InputError, Subscription
from tests.ledger.reports import history
from tests.pure.ledger_run import ONE, TOPIC, Run, closing, performance, quality

LAKESHORE = "https://lakeshore-health-plan.example"
ROOT = Path(__file__).resolve().parents[2]


def test_a_good_run_closes(tmp_path: Path) -> None:
    found = closing().judge(tmp_path)
    assert found.sentences == ()
    assert (found.versions, found.events, found.waiting) == (7, 6, 1)
    assert [(one.subscription, one.expected, one.numbers, one.received) for one in found.accounts] == [
        ("all", 6, 6, 6),
        ("settled", 3, 3, 3),
    ]


@pytest.mark.parametrize("state", ["owed", "retrying", "parked", "given_up"])
def test_what_is_listed_need_not_have_arrived(tmp_path: Path, state: str) -> None:
    run = closing()
    run.received.remove(run.arrival("settled", 3))
    run.row("settled", 3)["state"] = state
    found = run.judge(tmp_path)
    assert found.closes
    kept = found.accounts[1]
    assert (kept.received, kept.owed + kept.waiting + kept.given_up) == (2, 1)


def test_the_same_notification_may_come_again(tmp_path: Path) -> None:
    run = closing()
    run.received.append(deepcopy(run.arrival("settled", 3)))
    run.received.insert(2, deepcopy(run.arrival("all", 1)) | {"answered": None})
    found = run.judge(tmp_path)
    assert found.closes
    assert found.accounts[1].again == 1


def test_what_arrived_may_still_be_listed_as_owed(tmp_path: Path) -> None:
    run = closing()
    run.row("settled", 3)["state"] = "owed"  # its answer was lost: it will come again
    found = run.judge(tmp_path)
    assert found.closes
    assert found.accounts[1].owed == 0


def test_a_report_found_by_a_resend_counts_once(tmp_path: Path) -> None:
    run = closing()
    run.accepted.insert(3, deepcopy(run.accepted[2]) | {"status": 200})
    assert run.judge(tmp_path).closes


def test_one_without_payload_is_known_by_its_listing(tmp_path: Path) -> None:
    run = closing()
    for line in run.received:
        if line["subscription"] == "settled":
            line.update(type="empty", reports=[], body="")
    assert run.judge(tmp_path).closes


def _skipping(number: int = 3, *, wanted: bool = True, says: int = 1) -> Run:
    """Return the run in which a number was skipped for the one that wants all, and the next notification says so."""
    run = closing()
    run.subscriptions[0]["latest_only"] = wanted
    run.received.remove(run.arrival("all", number))
    run.row("all", number)["state"] = "skipped"
    run.arrival("all", number + 1)["skipped"] = says
    return run


def test_what_a_later_version_supersedes_may_be_skipped_for_who_wants_the_latest(tmp_path: Path) -> None:
    for number in (1, 3, 4):  # by the same report's next version, and by the one that took its place
        found = _skipping(number).judge(tmp_path)
        assert found.sentences == ()
        assert (found.accounts[0].skipped, found.accounts[0].received) == (1, 5)


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (_skipping(wanted=False), "number 3 was skipped, and every version is wanted"),
        (
            _skipping(2),
            "number 2 (MeasureReport/early/_history/1) was skipped, but no later number supersedes",
        ),
        (_skipping(5), "number 5 (MeasureReport/r2/_history/1) was skipped, but no later number supersedes"),
        (_skipping(says=0), "number 4 came first after 2: a gap"),
        (_skipping(says=2), "number 4 came first after 2: a gap"),
    ],
)
def test_what_was_skipped_without_right_or_without_a_word_is_found(
    tmp_path: Path, run: Run, said: str
) -> None:
    assert any(said in each for each in run.judge(tmp_path).sentences)


def _unlist(run: Run) -> None:
    run.listed["deliveries"] = []
    for line in run.received:
        line["reports"] = []


def _nothing_left(run: Run) -> None:
    run.received.clear()
    run.listed["deliveries"].clear()


def _swap_numbers(run: Run) -> None:
    one, other = run.arrival("settled", 2), run.arrival("settled", 3)
    for name in ("reports", "body"):
        one[name], other[name] = other[name], one[name]
    first, second = run.row("settled", 2), run.row("settled", 3)
    for name in ("report", "version"):
        first[name], second[name] = second[name], first[name]


def _swap_arrivals(run: Run) -> None:
    one, other = (run.received.index(run.arrival("settled", number)) for number in (2, 3))
    run.received[one], run.received[other] = run.received[other], run.received[one]


def _twice(run: Run) -> None:
    """Tell the last report again, under a number of its own."""
    again = deepcopy(run.arrival("settled", 3))
    run.received.append(again | {"numbers": [4], "webhook_id": "settled_4-4"})
    run.listed["deliveries"].append(run.row("settled", 3) | {"number": 4})


def _same_number(run: Run) -> None:
    other = deepcopy(run.arrival("settled", 2))
    run.received.append(other | {"numbers": [3], "webhook_id": "settled_3-3"})


def _other_webhook_id(run: Run) -> None:
    run.received.append(run.arrival("settled", 3) | {"webhook_id": "settled_2-3"})


def _gap(run: Run) -> None:
    run.arrival("settled", 3).update(numbers=[4], webhook_id="settled_4-4")
    run.row("settled", 3)["number"] = 4


def _foreign(run: Run) -> None:
    line = deepcopy(run.arrival("all", 3))
    report = {"type": "resource", "reports": line["reports"], "numbers": [4], "webhook_id": "settled_4-4"}
    run.received.append(run.arrival("settled", 3) | report)
    run.listed["deliveries"].append(run.row("all", 3) | {"subscription": "settled", "number": 4})


def _unheard(run: Run) -> None:
    line = run.arrival("settled", 3)
    line["body"] = line["body"].replace('"r2"', '"r9"')


def _other_digits(run: Run) -> None:
    line = run.arrival("settled", 3)
    line["body"] = line["body"].replace('"score":3', '"score":3.0')


def _other_tag(run: Run) -> None:
    line = run.arrival("settled", 3)
    line["body"] = line["body"].replace('"code":"settled"', '"code":"final"')


def _wider(run: Run) -> None:
    run.subscriptions[1]["criteria"] = f"MeasureReport?contract={ONE}"


def _stranger(run: Run) -> None:
    run.received.append(run.arrival("settled", 1) | {"subscription": "nobody"})
    run.listed["deliveries"].append(run.row("settled", 1) | {"subscription": "nobody"})


TAMPERED: dict[str, tuple[Callable[[Run], Any], str]] = {
    "lost": (lambda run: run.lose("settled", 3), "settled: MeasureReport/r2/_history/1 is missing"),
    "lost in the middle": (lambda run: run.lose("settled", 2), "settled: number 2 was never given: a gap"),
    "lost, but listed as delivered": (
        lambda run: run.received.remove(run.arrival("settled", 3)),
        "settled: number 3 (MeasureReport/r2/_history/1) is listed as delivered, but the receiver never took it",
    ),
    "refused, but listed as delivered": (
        lambda run: run.arrival("settled", 3).update(answered=500),
        "settled: number 3 (MeasureReport/r2/_history/1) is listed as delivered, but the receiver never took it",
    ),
    "left hanging, but listed as delivered": (
        lambda run: run.arrival("settled", 3).update(answered=None),
        "settled: number 3 (MeasureReport/r2/_history/1) is listed as delivered, but the receiver never took it",
    ),
    "everything lost": (
        _nothing_left,
        "all: MeasureReport/r1/_history/1 is missing",
    ),
    "one report under two numbers": (_twice, "MeasureReport/r2/_history/1 has the numbers 3, 4"),
    "one number for two reports": (
        _same_number,
        "settled: number 3 is MeasureReport/r1/_history/2 in a notification, but was MeasureReport/r2/_history/1",
    ),
    "a number listed twice": (
        lambda run: run.listed["deliveries"].append(dict(run.row("settled", 3))),
        "settled: number 3 is listed twice",
    ),
    "a number taken under another webhook-id": (
        _other_webhook_id,
        "settled: number 3 was taken as settled_3-3 and came again as settled_2-3",
    ),
    "a gap": (_gap, "settled: number 3 was never given: a gap"),
    "numbers out of order": (
        _swap_numbers,
        "settled: MeasureReport/r1/_history/2 (number 3) was accepted before MeasureReport/r2/_history/1",
    ),
    "first copies out of order": (_swap_arrivals, "settled: number 3 came first after 1: a gap, or out of order"),
    "a report nobody asked for": (_foreign, "MeasureReport/other/_history/1 was not asked for, but has the numbers 4"),
    "a report nobody accepted": (_unheard, "MeasureReport/r9/_history/1 arrived and was never accepted"),
    "digits that changed": (_other_digits, "MeasureReport/r2/_history/1 arrived with another content"),
    "a tag that changed": (_other_tag, "MeasureReport/r2/_history/1 arrived with another content"),
    "a subscription told too little": (_wider, "settled: MeasureReport/r1/_history/1 is missing"),
    "somebody nobody knows": (_stranger, "something arrived for nobody, which nobody asked for"),
    "an event before the handshake": (
        lambda run: run.received.pop(0),
        "all: number 1 came before a handshake was taken",
    ),
    "a handshake that was refused": (
        lambda run: run.received[0].update(answered=500),
        "all: number 1 came before a handshake was taken",
    ),
    "what the receiver complained of": (
        lambda run: run.arrival("all", 1).update(problems=["no Content-Type"]),
        "all: the receiver found: no Content-Type",
    ),
    "numbers without reports": (_unlist, "settled: number 1 was received, but nothing says which report"),
    "a state nobody knows": (
        lambda run: run.row("settled", 3).update(state="forgotten"),
        "settled: number 3 is listed in the unknown state 'forgotten'",
    ),
    "an event left in the outbox": (
        lambda run: run.listed["status"]["outbox"].update(pending=1),
        "1 events are still in the outbox",
    ),
    "an event too many": (
        lambda run: run.listed["status"]["events"].update(accepted=7),
        "7 events are listed as made, expected 6",
    ),
    "a report that should not wait": (
        lambda run: run.listed["status"]["reports"].update(waiting=2),
        "2 reports are listed as waiting, expected 1",
    ),
    "nothing asked for": (lambda run: run.subscriptions.clear(), "nobody subscribed: an empty ledger"),
    "nothing accepted": (lambda run: run.accepted.clear(), "nothing was accepted: an empty ledger"),
    "nothing expected": (
        lambda run: run.subscriptions[1].update(criteria="MeasureReport?stage=final&contract=urn:none"),
        "settled: nothing was expected: an empty account proves nothing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERED)
def test_whatever_is_tampered_with_is_found(tmp_path: Path, name: str) -> None:
    tamper, sentence = TAMPERED[name]
    run = closing()
    tamper(run)
    found = run.judge(tmp_path)
    assert not found.closes
    assert any(sentence in one for one in found.sentences), found.sentences


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"criteria": "MeasureReport?colour=red"}, "no search parameter colour"),
        ({"criteria": "MeasureReport?stage:missing=true"}, "no search parameter stage:missing"),
        ({"criteria": "MeasureReport?contract:not=x"}, "no search parameter contract:not"),
        ({"criteria": "MeasureReport?stage=https://x|settled"}, "the value 'https://x|settled' of stage"),
        ({"criteria": "Observation?code=1"}, "the criteria 'Observation?code=1'"),
        ({"criteria": "MeasureReport?"}, "the criteria 'MeasureReport?'"),
        ({"kind": "topic", "criteria": TOPIC + "weather"}, "no topic"),
        ({"kind": "webhook"}, "unknown kind 'webhook'"),
    ],
)
def test_what_it_has_no_rule_for_is_refused(tmp_path: Path, change: dict[str, str], said: str) -> None:
    run = closing()
    run.subscriptions[1].update(change)
    with pytest.raises(InputError) as refused:
        run.judge(tmp_path)
    assert said in str(refused.value)


def test_one_version_with_two_bodies_is_refused(tmp_path: Path) -> None:
    run = closing()
    other = performance("r1", score=1000)
    run.accepted.append(run.accepted[2] | {"body": str(other).replace("'", '"')})
    with pytest.raises(InputError, match="was acknowledged with two bodies"):
        run.judge(tmp_path)


def test_a_version_that_was_refused_acknowledges_nothing(tmp_path: Path) -> None:
    run = closing()
    run.accepted[2]["status"] = 422
    with pytest.raises(InputError, match="answered 422, which acknowledges nothing"):
        run.judge(tmp_path)


@pytest.mark.parametrize(
    ("criteria", "filters", "steps"),
    [
        (
            f"MeasureReport?contract={LAKESHORE}/contracts/medicare-advantage-harbor-point&stage=settled",
            None,
            "16 17 18 20",
        ),
        (
            "report-available",
            ["MeasureReport?reporter=Organization/lakeshore-health-plan"],
            "02 01 03 04 06 09 07 08 10 11 14 15 16 17 18 19 20",
        ),
        ("report-available", ["MeasureReport?provider=Organization/st-brigid-medical-center"], "05 12 13"),
        ("report-settled", [], "16 17 18 19 20"),
        ("report-corrected", [], "20"),
        ("report-withdrawn", [], "15"),
        ("report-available", ["MeasureReport?stage=final&provider=Organization/harbor-point-clinic"], "09 07 08 14 15"),
        ("MeasureReport?kind=quality&status:not=error", None, "01 04 07 08 10 13 16 17"),
    ],
)  # fmt: skip
def test_it_evaluates_criteria_by_itself(criteria: str, filters: list[str] | None, steps: str) -> None:
    """The expected steps are read off `schemas/examples/README.md` by hand; 01, 07 and 08 come with their parents."""
    accepted, step = [], {}
    versions: dict[str, int] = {}
    for path in (*examples.parties(), *examples.contracts(), *examples.reports()):
        one = Accepted("", 0, path.read_text())
        report = one.resource["id"]
        versions[report] = versions.get(report, 0) + 1
        accepted.append(Accepted(report, versions[report], one.body))
        step[report, versions[report]] = path.name[:2]
    wanted = (
        Subscription("s", "classic", criteria)
        if filters is None
        else Subscription("s", "topic", TOPIC + criteria, tuple(filters))
    )
    told = [step[event.report] for event in history(accepted).events if fires(wanted, event)]
    assert " ".join(told) == steps


def test_it_runs_as_a_process_of_its_own_and_says_what_it_found(tmp_path: Path) -> None:
    run = closing()
    good = _ledger(run.write(tmp_path))
    assert (good.returncode, good.stdout.splitlines()[-1]) == (0, "the ledger closes")
    run.lose("settled", 3)
    bad = _ledger(run.write(tmp_path))
    assert bad.returncode == 1
    assert "settled: MeasureReport/r2/_history/1 is missing" in bad.stdout
    assert bad.stdout.splitlines()[-1] == "it does not close: 1 findings"
    (tmp_path / "listed").unlink()
    assert _ledger([*run.write(tmp_path)[:-2], "--listed", str(tmp_path / "none")]).returncode == 2


def test_it_shares_no_code_with_what_it_judges() -> None:
    imported: set[str] = set()
    for path in (ROOT / "tests" / "ledger").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported.update(name.name for name in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                imported.add(str(node.module))
    own = {name for name in imported if name.startswith("tests.ledger.")}
    others = {name.partition(".")[0] for name in imported - own}
    assert own
    assert others - set(sys.stdlib_module_names) == {"orjson"}


def _ledger(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.ledger", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_deletion_is_an_event_of_its_own_and_ends_what_stood() -> None:
    def said(report: str, version: int, **what: Any) -> Accepted:
        return Accepted(report, version, orjson.dumps(performance(report, **what)).decode())

    child = orjson.dumps(quality("early")).decode()
    events = history(
        [
            said("r1", 1, stage="settled", evaluatedResource=[{"reference": "MeasureReport/early"}]),
            said("r2", 1, stage="settled", score=1),
            Accepted("r2", 2, ""),
            Accepted("early", 1, child),
            Accepted("r1", 2, ""),
            Accepted("early", 2, child),
            said("r1", 3, stage="settled"),
            Accepted("unheard", 1, ""),
        ]
    ).events
    assert [(event.report, event.type, event.before and event.before.id) for event in events] == [
        (("r1", 1), "settled", None),
        (("r2", 1), "corrected", "r1"),
        (("r2", 2), "deleted", "r2"),
        (("early", 1), "published", None),
        (("r1", 2), "deleted", "r1"),
        (("early", 2), "published", "early"),  # it keeps what it got
        (("r1", 3), "settled", None),
    ]
    gone = events[2]
    assert not fires(Subscription("s", "classic", "MeasureReport?stage=settled"), gone)
    for topic, told in (("available", True), ("settled", True), ("corrected", False), ("withdrawn", True)):
        asked = Subscription("s", "topic", f"{TOPIC}report-{topic}", ("MeasureReport?stage=settled",))
        assert fires(asked, gone) == told, topic


def test_what_waits_is_deleted_in_silence() -> None:
    child = orjson.dumps(quality("early")).decode()
    told = history([Accepted("early", 1, child), Accepted("early", 2, "")])
    assert (told.events, told.waiting) == ((), ())
