"""`vmoodle upgrade back`: a site becomes again what it was before its last upgrade."""

from __future__ import annotations

import sys

from vmoodle.cli.output import Json, moment, say, show_queued
from vmoodle.cli.question import ask
from vmoodle.cli.site_words import Confirm, Detach, Shortname


def back(
    shortname: Shortname,
    confirm: Confirm = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Take a site back to the code and the data before its last upgrade, while they are kept.

    All that was written since is lost.
    """
    from vmoodle.cli.progress import carry_out
    from vmoodle.cli.site_facts import show_site
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle.upgrade import back as going_back
    from vmoodle.registry import sites

    if confirm is None and sys.stdin.isatty():
        row = going_back.way_back(shortname)
        say(
            f"{shortname} goes back to the codebase {row.codebase} and to its data of "
            f"{moment(row.created_at)}: all that was written since is lost."
        )
        confirm = ask("Type the shortname to go on")
    operation = going_back.submit(installation, shortname, typed=confirm or "")
    if detach:
        show_queued(operation.id, {"site": shortname}, json=json)
        return
    carry_out(installation, operation)
    show_site(sites.find(shortname), json=json)
