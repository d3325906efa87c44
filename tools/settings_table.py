"""Writes docs/settings.md from the settings classes: `python -m tools.settings_table`, or `--check` it."""

from __future__ import annotations

import sys
from pathlib import Path

from services.settings import settings_table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "settings.md"

HEAD = """# Settings

Every setting is an environment variable. `VBPR_CONFIG` may name a TOML file that holds the same settings under
their names without `VBPR_`, in lower case; a variable goes before the file. Durations are seconds, sizes bytes.

"""


def page() -> str:
    """Return the page as it should be."""
    return HEAD + settings_table() + "\n"


def main() -> int:
    """Write the page, or with `--check` tell whether it is up to date."""
    if "--check" in sys.argv[1:]:
        return 0 if PAGE.read_text() == page() else 1
    PAGE.write_text(page())
    print(f"wrote {PAGE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
