"""Stop what VMoodle started and left running; remove the demo."""

from __future__ import annotations

import shutil

from vmoodle.demo.place import server_pid_file
from vmoodle.errors import Refused
from vmoodle.home import Home


def stop_all(home: Home) -> list[str]:
    """Stop the PHP server and the embedded PostgreSQL of a home; say what was done."""
    from vmoodle.engines.embedded import EmbeddedPostgreSQL
    from vmoodle.moodle.server import stop_detached

    said = []
    if stop_detached(server_pid_file(home)):
        said.append("stopped the PHP server")
    if home.embedded.exists():
        EmbeddedPostgreSQL(home.embedded).stop()
        said.append("stopped the embedded PostgreSQL")
    return said or ["nothing was running"]


def remove_demo(home: Home) -> list[str]:
    """Stop the demo and delete its home; raise Refused when it is not a demo's home."""
    if not (home.path / "demo.json").exists():
        raise Refused(
            "demo.none", f"{home.path} is not the home of a demo.", "Nothing was deleted."
        )
    said = stop_all(home)
    shutil.rmtree(home.path)
    return [*said, f"removed {home.path}"]
