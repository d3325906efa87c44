"""Where are the VBPR guide's artifacts? Read in place; tests marked `guide` are not collected without them."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "VBPR_GUIDE_ARTIFACTS"


def _find() -> Path | None:
    """Return the folder that holds `vbpr/` and `subscriptions/`: where the variable says, or beside the checkout."""
    if given := os.environ.get(VARIABLE):
        places = [Path(given)]
    else:
        places = [Path(__file__).resolve().parents[2] / "shared" / "fhir"]
    return next((place for place in places if (place / "vbpr").is_dir()), None)


ARTIFACTS: Path | None = _find()
