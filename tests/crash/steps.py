"""The steps of the kinds of operations, as the program has them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from functools import cache

# The kinds are imported in a process with a home of its own: the tests' own has none yet.
_TELL = """
import json
from vmoodle.installation import open_installation
open_installation()
from vmoodle.lifecycle.kinds import KINDS
print(json.dumps({name: [step.name for step in kind.steps] for name, kind in KINDS.items()}))
"""


def steps(kind: str) -> tuple[str, ...]:
    """Return the names of a kind's steps in their order."""
    return tuple(_all()[kind])


@cache
def _all() -> dict[str, list[str]]:
    with tempfile.TemporaryDirectory(prefix="vmoodle-steps-") as directory:
        told = subprocess.run(
            [sys.executable, "-c", _TELL],
            env=os.environ | {"VMOODLE_HOME": f"{directory}/home"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    found: dict[str, list[str]] = json.loads(told.stdout)
    return found
