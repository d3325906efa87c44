"""How one notification looks on the screen: a line, coloured on a terminal, plain elsewhere."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from services.cli.listen.record import Entry


def line(entry: Entry) -> Text:
    """Return the line of one entry, its problems below it."""
    reading = entry.reading
    text = Text()
    text.append(f"{entry.at[11:23]} ", style="dim")
    text.append(f"{reading.kind:8}", style="cyan" if reading.kind == "topic" else "magenta")
    text.append(f"{(reading.subscription or '?')[-12:]:13}")
    text.append(f"{_numbers(reading.numbers):>7}  ", style="bold")
    text.append(f"{reading.type or '-'}  {', '.join(reading.reports)}")
    if entry.duplicate:
        text.append("  duplicate", style="yellow")
    if entry.answered is None:
        text.append("  left hanging", style="yellow")
    elif entry.answered >= 300:
        text.append(f"  answered {entry.answered}", style="yellow")
    for problem in entry.problems:
        text.append(f"\n    problem: {problem}", style="red")
    return text


def _numbers(numbers: tuple[int, ...]) -> str:
    if not numbers:
        return "-"
    return f"#{numbers[0]}" if len(numbers) == 1 else f"#{numbers[0]}-{numbers[-1]}"


def summary(console: Console, received: int, duplicates: int, faulty: int) -> None:
    """Print what a run came to."""
    console.print(
        f"{received} received, {duplicates} of them duplicates, {faulty} with problems",
        style="red" if faulty else "green",
        highlight=False,
    )
