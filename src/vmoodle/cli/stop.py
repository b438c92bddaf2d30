"""`vmoodle stop`: stop what VMoodle started and left running."""

from __future__ import annotations

from vmoodle.cli.output import Json, print_json, print_text
from vmoodle.cli.progress import showing


def stop(json: Json = False) -> None:
    """Stop the demo's web server and the embedded PostgreSQL; nothing is deleted."""
    from vmoodle.home import locate_home
    from vmoodle.lifecycle.stop import stop_all

    with showing("stopping"):
        said = stop_all(locate_home())
    print_json({"done": said}) if json else print_text("\n".join(said))
