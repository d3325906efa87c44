"""`python -m tests.ledger`: print the ledger and every finding; exit 0 only if it closes, 2 if it cannot be read."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.ledger.balance import Balance, balance
from tests.ledger.inputs import InputError, read

_COLUMNS = ("expected", "numbers", "received", "again", "owed", "waiting", "given_up", "skipped")


def main() -> int:
    """Judge the run that the four files tell of."""
    parser = argparse.ArgumentParser(prog="python -m tests.ledger", description=__doc__)
    for name in ("accepted", "subscriptions", "received", "listed"):
        parser.add_argument(f"--{name}", type=Path, required=True, metavar="FILE")
    given = parser.parse_args()
    try:
        found = balance(read(given.accepted, given.subscriptions, given.received, given.listed))
    except InputError as error:
        sys.stderr.write(f"the ledger cannot be judged: {error}\n")
        return 2
    sys.stdout.writelines(f"{line}\n" for line in _lines(found))
    return 0 if found.closes else 1


def _lines(found: Balance) -> Iterator[str]:
    yield f"{found.versions} versions accepted, {found.events} events, {found.waiting} waiting"
    yield f"{'subscription':40}{'kind':8}" + "".join(f"{name:>10}" for name in _COLUMNS)
    for one in found.accounts:
        yield f"{one.subscription:40}{one.kind:8}" + "".join(f"{getattr(one, name):>10}" for name in _COLUMNS)
    for sentence in found.sentences:
        yield f"  {sentence}"
    yield "the ledger closes" if found.closes else f"it does not close: {len(found.sentences)} findings"


if __name__ == "__main__":
    sys.exit(main())
