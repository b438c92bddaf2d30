"""`vmoodle site suspend|resume`: let sites answer 503, and serve again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from vmoodle.cli.outcomes import show_outcomes
from vmoodle.cli.output import Json
from vmoodle.cli.site_facts import show_site
from vmoodle.cli.site_words import AllSites, Labels, Targets

if TYPE_CHECKING:
    from vmoodle.fleet.targets.choose import Selection
    from vmoodle.registry.models import Site, SiteState


def suspend(
    sites: Targets = None,
    label: Labels = None,
    all_sites: AllSites = False,
    reason: Annotated[
        str | None,
        typer.Option(help="Why; shown to administrators only. Kept when not given again."),
    ] = None,
    json: Json = False,
) -> None:
    """Let sites answer 503; their command-line scripts keep working."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.targets.choose import Selection
    from vmoodle.lifecycle import suspend as changes
    from vmoodle.registry.models import SiteState

    _change(
        Selection(sites or [], label or [], all_sites),
        lambda name: changes.suspend(installation, name, reason),
        states={SiteState.ENABLED},
        done="suspended",
        json=json,
    )


def resume(
    sites: Targets = None, label: Labels = None, all_sites: AllSites = False, json: Json = False
) -> None:
    """Let suspended sites serve again."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.targets.choose import Selection
    from vmoodle.lifecycle import suspend as changes
    from vmoodle.registry.models import SiteState

    _change(
        Selection(sites or [], label or [], all_sites),
        lambda name: changes.resume(installation, name),
        states={SiteState.SUSPENDED},
        done="resumed",
        json=json,
    )


def _change(
    selection: Selection,
    act: Callable[[str], Site],
    *,
    states: set[SiteState],
    done: str,
    json: bool,
) -> None:
    """Act on the sites meant; one that is named alone is shown, or its error raised."""
    from vmoodle.fleet.bulk.outcome import each
    from vmoodle.fleet.targets.choose import choose

    names = [site.shortname for site in choose(selection, states)]
    if selection.names_one:
        show_site(act(names[0]), json=json)
        return
    show_outcomes(each(names, act, done), json=json)
