"""Checks of what copies are made from and what they left: templates, warm copies, snapshots."""

from __future__ import annotations

from pathlib import Path

from vmoodle.doctor import mends
from vmoodle.doctor.checks_ledger import usable_engines
from vmoodle.doctor.finding import Found
from vmoodle.errors import NotFound, VMoodleError
from vmoodle.installation import Installation
from vmoodle.lifecycle.copy.identifiers import identifiers
from vmoodle.lifecycle.stored import open_snapshots
from vmoodle.registry import owners, sites, snapshots, templates
from vmoodle.registry.models import (
    SiteState,
    SnapshotState,
    TemplateState,
    WarmCopy,
    WarmCopyState,
    state_words,
)
from vmoodle.store.store import Store

_HALF_WAY = (SiteState.DEPLOYING, SiteState.DELETING)


def templates_are_whole(installation: Installation) -> Found:
    """Every template has its database and directory, and none is half-way without an operation."""
    busy, databases = owners.busy(), _databases(installation)
    for row in templates.every():
        if templates.subject(row.name) in busy:
            continue
        mend = f"vmoodle template delete {row.name} --confirm {row.name}, then create it anew"
        if row.state in {TemplateState.MAKING, TemplateState.DELETING}:
            yield (
                f"The template {row.name} {state_words(row.state)} and no operation works on it.",
                mend,
            )
        if row.database not in databases.get(row.server.name, {row.database}):
            yield f"The template {row.name}: its database {row.database} is gone.", mend
        if not Path(row.directory).is_dir():
            yield f"The template {row.name}: its directory {row.directory} is gone.", mend


def warm_copies_are_usable(installation: Installation) -> Found:
    """Every copy that waits is whole and of its template's revision."""
    busy, databases = owners.busy(), _databases(installation)
    rows = WarmCopy.objects.select_related("template", "server")
    for copy in rows.order_by("template__name", "created_at"):
        if templates.warm_owner(copy.id) in busy:
            continue
        template = copy.template
        said = f"A copy of the template {template.name}, {copy.database},"
        keep = f"vmoodle template warm {template.name} --keep"
        anew = mends.refill(template.name, template.keep_warm)
        wholly_anew = mends.refill(template.name, template.keep_warm, drop_all=True)
        if copy.state != WarmCopyState.READY:
            yield (
                f"{said} {state_words(copy.state)} and no operation works on it.",
                f"{keep} {template.keep_warm}",
                anew,
            )
        elif copy.revision != template.revision:
            yield (
                f"{said} is stale: revision {copy.revision} of {template.revision}.",
                f"{keep} {template.keep_warm}",
                anew,
            )
        elif copy.database not in databases.get(copy.server.name, {copy.database}):
            yield (
                f"{said} has lost its database.",
                f"{keep} 0, then --keep {template.keep_warm}",
                wholly_anew,
            )
        elif not Path(copy.directory).is_dir():
            yield (
                f"{said} has lost its directory.",
                f"{keep} 0, then --keep {template.keep_warm}",
                wholly_anew,
            )


def snapshots_agree(installation: Installation) -> Found:
    """The registry and the store have the same snapshots, and none is half-taken.

    The store is listed once; a manifest is read only where the registry does not know it.
    """
    rows, busy = snapshots.every(), owners.busy()
    try:
        store = open_snapshots(installation)
    except NotFound as error:
        if any(row.state == SnapshotState.READY for row in rows):
            yield error.message, error.hint
        return
    stored = set(store.manifest_ids())
    for row in rows:
        if row.state == SnapshotState.READY and row.id not in stored:
            yield (
                f"The snapshot {row.id} is not in the store {store.address.display()}.",
                f"Put it back there, or forget it: vmoodle snapshot delete {row.id}",
            )
        elif row.state != SnapshotState.READY and row.site_shortname not in busy:
            yield (
                f"The snapshot {row.id} {state_words(row.state)} and no operation works on it.",
                f"vmoodle snapshot delete {row.id}",
                mends.forget_snapshot(row.id),
            )
    for identity in sorted(stored - {row.id for row in rows}):
        yield from _unknown(store, identity)


def _unknown(store: Store, identity: str) -> Found:
    try:
        manifest = store.read_manifest(identity)
    except NotFound:
        return  # deleted meanwhile
    except VMoodleError as error:
        yield error.message, error.hint
        return
    if manifest.kind == "snapshot":
        yield (
            f"The store has the snapshot {identity}; the registry does not know it.",
            "It is another installation's, or younger than a registry that was restored.",
        )


def identifiers_differ(installation: Installation) -> Found:
    """No two sites have one siteidentifier: Moodle's services take them for one site."""
    engines = usable_engines(installation)
    asked = [
        (site.shortname, engines[site.server.name], installation.site_database(site))
        for site in sites.every().exclude(state__in=_HALF_WAY)
        if site.server.name in engines
    ]
    users = identifiers(asked)
    for names in users.values():
        if len(names) > 1:
            yield (
                f"{', '.join(names)} have the same siteidentifier: they are copies of each other.",
                f"vmoodle exec {names[-1]} -- admin/cli/cfg.php --name=siteidentifier "
                "--set=(32 random letters and digits)",
            )


def _databases(installation: Installation) -> dict[str, set[str]]:
    """Return the databases of every server that answers."""
    return {
        name: set(engine.list_databases()) for name, engine in usable_engines(installation).items()
    }
