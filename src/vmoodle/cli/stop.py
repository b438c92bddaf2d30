"""`vmoodle stop`: stop what VMoodle started and left running."""

from __future__ import annotations

import typer


def stop() -> None:
    """Stop the demo's web server and the embedded PostgreSQL; nothing is deleted."""
    from vmoodle.demo.stop import stop_all
    from vmoodle.home import locate_home

    for line in stop_all(locate_home()):
        typer.echo(line)
