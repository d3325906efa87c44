"""The project's own example resources, in the order in which a payer publishes them.

Two payers, three providers, four contracts and twenty report versions, written for the demo, the benchmarks
and for readers; `README.md` beside this file says what each shows. All of it is invented.
File name order is publish order: parties, then contracts, then reports. Each file holds one resource.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def parties() -> tuple[Path, ...]:
    """Return the Organizations, and after them the Group that names one as its managing entity."""
    return _folder("parties")


def contracts() -> tuple[Path, ...]:
    """Return the contracts, one `Measure` (vbp-measure) each."""
    return _folder("contracts")


def reports() -> tuple[Path, ...]:
    """Return every report version in publish order; several files may carry versions of one id."""
    return _folder("reports")


def subscriptions() -> tuple[Path, ...]:
    """Return `classic.json` and `topic.json`; their endpoint is a placeholder to be replaced."""
    return _folder("subscriptions")


def large() -> Path:
    """Return the one report of about 38 kB, stratified by cohort and facility: for benchmarks."""
    (path,) = (path for path in reports() if path.stem.endswith("-large"))
    return path


def _folder(name: str) -> tuple[Path, ...]:
    # A wheel is installed as plain files, so a Path is honest here; a zip import is not supported.
    return tuple(sorted(Path(str(files(__name__) / name)).glob("*.json")))
