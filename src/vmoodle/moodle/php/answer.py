"""What code that runs inside Moodle answers: JSON in its last line."""

from __future__ import annotations

import json
from typing import Any


def read_answer(output: str) -> Any:
    """Return the answer; raise ValueError where there is none.

    Moodle's own warnings may stand before it.
    """
    return json.loads(output.strip().rpartition("\n")[2])
