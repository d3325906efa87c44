"""What a person sees of the demo: colours and panels on a terminal, plain lines elsewhere."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from services.cli.demo.ledger import Ledger
from services.cli.demo.scenario import Step
from services.cli.listen.record import Entry


class Screen:
    """Prints the demo's story."""

    def __init__(self, console: Console) -> None:
        """Take where to print."""
        self._console = console
        self._names: dict[str, str] = {}

    def name(self, subscription: str, name: str) -> None:
        """Call a subscription by a name instead of its id."""
        self._names[subscription] = name

    def scene(self, title: str) -> None:
        """Begin a part of the story."""
        if self._console.is_terminal:
            self._console.rule(f"[bold]{title}", align="left", style="dim")
        else:
            self._console.print(f"\n== {title}")

    def say(self, text: str, style: str = "") -> None:
        """Print one line."""
        self._console.print(Text(text, style=style))

    def published(self, step: Step, status: int | None) -> None:
        """Print that a report was accepted."""
        text = Text("→ published ", style="bold")
        text.append(f"{step.file}  ", style="not bold")
        text.append(f"{status}  ", style="green")
        text.append(step.shows, style="dim")
        self._console.print(text)

    def heard(self, entry: Entry) -> None:
        """Print one notification as it arrives."""
        reading = entry.reading
        name = self._names.get(reading.subscription, reading.subscription)
        text = Text("    ← ", style="bold")
        text.append(f"{name:8}", style="cyan" if name == "topic" else "magenta")
        text.append(" ".join(f"#{number}" for number in reading.numbers) or reading.type, style="bold")
        text.append(f"  {', '.join(reading.reports)}")
        if entry.duplicate:
            text.append("  again, same number", style="yellow")
        for problem in entry.problems:
            text.append(f"\n      problem: {problem}", style="red")
        self._console.print(text)

    def ledger(self, ledger: Ledger) -> None:
        """Print the ledger and whether it closes."""
        self._console.print(
            f"{ledger.accepted} report versions accepted, {ledger.events} events, {ledger.emitted} emitted, "
            f"{ledger.consumed} consumed, {ledger.waiting} waiting for their parent"
        )
        table = Table(box=box.ROUNDED if self._console.is_terminal else None)
        for column in ("subscription", "events", "owed", "delivered", "given up", "received", "duplicates"):
            table.add_column(column, justify="left" if column == "subscription" else "right")
        for account in ledger.accounts:
            counts = (account.events, account.owed, account.delivered, account.given_up)
            seen = (account.received, account.duplicates)
            table.add_row(account.kind, *map(str, counts), *map(str, seen))
        self._console.print(table)
        for problem in ledger.problems:
            self.say(f"✗ {problem}", "red")
        verdict = (
            "The ledger closes: every event owed was received once, in order."
            if ledger.closes
            else ("The ledger does NOT close.")
        )
        style = "green" if ledger.closes else "red"
        if self._console.is_terminal:
            self._console.print(Panel(verdict, style=style, expand=False))
        else:
            self.say(verdict, style)
