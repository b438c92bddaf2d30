"""Remove the demo for good."""

from __future__ import annotations

import shutil

from vmoodle.errors import Refused
from vmoodle.home import Home
from vmoodle.lifecycle.stop import stop_all


def remove_demo(home: Home) -> list[str]:
    """Stop the demo and delete its home; raise Refused when it is not a demo's home."""
    if not (home.path / "demo.json").exists():
        raise Refused(
            "demo.none", f"{home.path} is not the home of a demo.", "Nothing was deleted."
        )
    said = stop_all(home)
    shutil.rmtree(home.path)
    return [*said, f"removed {home.path}"]
