"""`vmoodle site delete|revive|purge`: the end of a site, and its way back."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmoodle.cli.outcomes import carry_out_each, ordered_each, show_outcomes
from vmoodle.cli.output import Json, in_bytes, moment, print_json, print_text, say
from vmoodle.cli.question import ask
from vmoodle.cli.site_facts import show_site
from vmoodle.cli.site_words import AllSites, Confirm, Detach, Labels, Targets

if TYPE_CHECKING:
    from vmoodle.fleet.targets.choose import Selection
    from vmoodle.installation import Installation
    from vmoodle.registry.models import Operation, Site


def delete(
    sites: Targets = None,
    label: Labels = None,
    all_sites: AllSites = False,
    confirm: Annotated[
        str | None,
        typer.Option(
            help="The shortname; of several all of them with commas, or what the refusal names."
        ),
    ] = None,
    purge: Annotated[
        bool,
        typer.Option("--purge", help="Destroy at once: database, account and files are gone."),
    ] = False,
    no_snapshot: Annotated[
        bool, typer.Option("--no-snapshot", help="Take no snapshot of it on the way.")
    ] = False,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Delete suspended sites: off the map, snapshotted, kept for a grace period, then purged."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.bulk.confirmation import refuse_unconfirmed
    from vmoodle.fleet.targets.choose import Selection, choose
    from vmoodle.lifecycle import delete as deletion
    from vmoodle.lifecycle import purge as purging
    from vmoodle.registry.models import SiteState

    selection = Selection(sites or [], label or [], all_sites)
    chosen = choose(selection, {SiteState.SUSPENDED})
    asks = any(site.state in {"suspended", "needs attention"} for site in chosen)
    shown = confirm is None and sys.stdin.isatty() and asks
    if shown:
        days = installation.settings.sites.delete_grace_days
        confirm = _ask(chosen, None if purge else days)

    def order(name: str, typed: str) -> Operation:
        if purge:
            return purging.submit(installation, name, typed=typed, now=True)
        return deletion.submit(installation, name, typed=typed, with_snapshot=not no_snapshot)

    if selection.names_one:
        _end_one(installation, order(chosen[0].shortname, confirm or ""), purge, detach, json)
        return
    names = [site.shortname for site in chosen]
    call = f"vmoodle site delete{' --purge' if purge else ''} {_said(selection)}"
    refuse_unconfirmed(names, confirm or "", call, shown=shown)
    _end_each(installation, names, lambda name: order(name, name), detach, json)


def _ask(chosen: Sequence[Site], days: int | None) -> str:
    """Show what would come of which sites, and return what the person typed."""
    which = chosen[0].wwwroot if len(chosen) == 1 else f"these {len(chosen)} sites"
    for site in chosen if len(chosen) > 1 else ():
        say(f"  {site.shortname}  {site.wwwroot}")
    if days is None:
        say(f"This destroys {which} with database and all files.")
    else:
        has = "it has" if len(chosen) == 1 else "they have"
        say(f"This takes {which} off the map; what {has} is kept for {days} days.")
    what = "the shortname" if len(chosen) == 1 else "their number"
    return ask(f"Type {what} to go on")


def _said(selection: Selection) -> str:
    """Return the words of a selection as they were given."""
    words = ["--all"] if selection.all_sites else [shlex.quote(one) for one in selection.patterns]
    return " ".join([*words, *(f"--label {shlex.quote(label)}" for label in selection.labels)])


def _end_one(
    installation: Installation, operation: Operation, purge: bool, detach: bool, json: bool
) -> None:
    from vmoodle.cli.progress import carry_out
    from vmoodle.registry import sites

    shortname = operation.subject
    ended = operation if detach else carry_out(installation, operation)
    if json:
        print_json(
            {
                "operation": ended.id,
                "site": shortname,
                "state": ended.state,
                "snapshot": ended.result.get("snapshot", ""),
            }
        )
    elif detach:
        say(f"vmoodle operation follow {ended.id}")
    elif purge:
        _show_certificate(ended.result["certificate"])
    else:
        until = moment(sites.find(shortname).purge_after)
        say(f"deleted {shortname}, kept until {until}: vmoodle site revive {shortname}")
        if taken := ended.result.get("snapshot"):
            say(f"snapshot {taken}")


def _end_each(
    installation: Installation,
    names: Sequence[str],
    order: Callable[[str], Operation],
    detach: bool,
    json: bool,
) -> None:
    from vmoodle.errors import VMoodleError
    from vmoodle.fleet.bulk.outcome import Outcome

    made: dict[str, Operation | VMoodleError] = {}
    for name in names:
        try:
            made[name] = order(name)
        except VMoodleError as error:
            made[name] = error
    ordered = ordered_each(made)
    if detach:
        show_outcomes([outcome for outcome, _operation in ordered], json=json)
        return

    def done(place: int, ended: Operation) -> Outcome:
        told = {key: ended.result[key] for key in ("certificate",) if key in ended.result}
        return Outcome(names[place], "deleted", ended.id, more=told)

    outcomes = carry_out_each(installation, ordered, done)
    for outcome in outcomes if not json else ():
        if "certificate" in outcome.more:
            _show_certificate(outcome.more["certificate"])
    show_outcomes(outcomes, json=json)


def revive(
    sites: Targets = None, label: Labels = None, all_sites: AllSites = False, json: Json = False
) -> None:
    """Bring deleted sites back, suspended."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.bulk.outcome import each
    from vmoodle.fleet.targets.choose import Selection, choose
    from vmoodle.lifecycle.delete import revive as bring_back
    from vmoodle.registry.models import SiteState

    selection = Selection(sites or [], label or [], all_sites)
    names = [site.shortname for site in choose(selection, {SiteState.DELETED})]
    if selection.names_one:
        show_site(bring_back(installation, names[0]), json=json)
        return
    show_outcomes(each(names, lambda name: bring_back(installation, name), "revived"), json=json)


def purge(
    shortname: Annotated[str, typer.Argument(help="The deleted site.")] = "",
    confirm: Confirm = None,
    now: Annotated[
        bool, typer.Option("--now", help="Do not wait for the end of the grace period.")
    ] = False,
    expired: Annotated[
        bool, typer.Option("--expired", help="All deleted sites whose grace period is over.")
    ] = False,
    with_snapshots: Annotated[
        bool, typer.Option("--with-snapshots", help="Delete its snapshots too.")
    ] = False,
    json: Json = False,
) -> None:
    """Destroy a deleted site and print a certificate of what was destroyed.

    Its snapshots remain, and the certificate names them, unless --with-snapshots is given.
    """
    from vmoodle.cli.progress import carry_out
    from vmoodle.errors import InvalidInput
    from vmoodle.installation import open_installation

    if bool(shortname) == expired or (expired and with_snapshots):
        raise InvalidInput(
            "site.purge.which",
            "Name one site, or say --expired (which leaves snapshots).",
            "vmoodle site list --state deleted",
        )
    installation = open_installation()
    from vmoodle.lifecycle import purge as purging
    from vmoodle.registry import sites

    if expired:
        _purge_expired(installation, json=json)
        return
    site = sites.find(shortname)
    if confirm is None and sys.stdin.isatty():
        say(f"This destroys {site.wwwroot} with its database and all its files.")
        confirm = ask("Type the shortname to go on")
    operation = purging.submit(
        installation, shortname, typed=confirm or "", now=now, with_snapshots=with_snapshots
    )
    certificate = carry_out(installation, operation).result["certificate"]
    if json:
        print_json([certificate])
    else:
        _show_certificate(certificate)


def _purge_expired(installation: Installation, *, json: bool) -> None:
    """Purge all whose grace period is over; print the certificates, then what failed."""
    from vmoodle.fleet.bulk.outcome import Outcome
    from vmoodle.lifecycle import purge as purging

    certificates: list[dict[str, Any]] = []

    def done(_place: int, ended: Operation) -> Outcome:
        certificates.append(ended.result["certificate"])
        return Outcome(ended.subject, "purged", ended.id)

    ordered = ordered_each(purging.submit_expired(installation))
    outcomes = carry_out_each(installation, ordered, done)
    failures = [outcome for outcome in outcomes if not outcome.ok]
    if json:
        whole = [certificate | {"ok": True} for certificate in certificates]
        print_json([*whole, *(outcome.as_facts() for outcome in failures)])
    else:
        for certificate in certificates:
            _show_certificate(certificate)
        for outcome in failures:
            say(f"{outcome.site}: {outcome.message} [{outcome.code}] {outcome.hint}")
        if not outcomes:
            say("No grace period is over.")
    if failures:
        raise typer.Exit(1)


_THINGS = {
    "destroyed": "",
    "gone_already": "was gone already: ",
    "left": "left, not made by VMoodle: ",
}


def _show_certificate(certificate: dict[str, Any]) -> None:
    print_text(f"destroyed: {certificate['site']}, {certificate['url']}")
    for key, words in _THINGS.items():
        for thing in certificate.get(key, []):
            at = f" on {thing['place']}" if thing["place"] else ""
            print_text(f"  {words}{thing['kind']} {thing['name']}{at}")
    dropped = any(thing["kind"] == "database" for thing in certificate["destroyed"])
    if dropped and certificate["database_bytes"] is not None:
        print_text(f"  {in_bytes(certificate['database_bytes'])} of database")
    for word in ("deleted", "remaining"):
        for snapshot_id in certificate[f"snapshots_{word}"]:
            print_text(f"  snapshot {snapshot_id} {word}")
    ended = moment(datetime.fromisoformat(certificate["ended"]))
    print_text(f"operation {certificate['operation']}, ended {ended} UTC")
