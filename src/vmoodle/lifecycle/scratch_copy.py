"""What a drill or a rehearsal has while it lasts: a scratch copy that is no site of the fleet.

It has a database, an account and a directory that the ledger has as the operation's own, and stands
in the host map at an address that nobody can guess and no name server knows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from vmoodle.engines.protocol import SiteDatabase
from vmoodle.hook.address import parse_wwwroot
from vmoodle.hook.entry import PublishedSite
from vmoodle.installation import Installation
from vmoodle.lifecycle.resources import Holdings
from vmoodle.registry import codebases, owners, servers
from vmoodle.registry.models import Operation, Site, SiteState
from vmoodle.secret import Secret

PUBLISHED = "published"
"""The member of the operation's result that says whether the copy stands in the map."""

# Nothing leaves the copy and nothing runs in it by itself; Moodle's own form is where one logs in.
_FORCED = {
    "noemailever": True,
    "disableupdatenotifications": True,
    "cron_enabled": False,
    "cronclionly": True,
    "maintenance_enabled": False,
    "alternateloginurl": "",
    "enableloginrecaptcha": False,
}
_FORCED_PLUGINS = {"tool_mfa": {"enabled": False}}
_SUBJECT_LENGTH = 80


def subject(kind: str, name: str) -> str:
    """Return what an operation on a copy of what has the name holds, and who owns what it makes.

    `kind` is `owners.DRILL` or `owners.REHEARSAL`.
    """
    # A snapshot's id ends in what tells it from all others.
    return kind + name[len(kind) - _SUBJECT_LENGTH :]


def scratch_wwwroot(kind: str, password: Secret) -> str:
    """Return the copy's address, which nobody guesses who does not know its database's password.

    RFC 6761 lets nobody have the domain.
    """
    word = hashlib.sha256(password.reveal().encode()).hexdigest()[:32]
    return f"http://{kind}-{word}.vmoodle.invalid"


def scratch_site(installation: Installation, operation: Operation) -> Site:
    """Return the copy as a site that the registry does not have and never will."""
    given, kind = operation.parameters, operation.subject.partition(":")[0]
    address = parse_wwwroot(scratch_wwwroot(kind, _password(installation, operation)))
    return Site(
        shortname=f"{kind}-{given['mark']}",
        name=str(operation.result.get("name", "")),
        wwwroot=address.wwwroot,
        address_key=address.key,
        codebase=codebases.find(str(given["codebase"])),
        server=servers.find(str(given["server"])),
        database=str(given["database"]),
        account=str(given["database"]),
        password_encrypted=operation.secret_encrypted,
        table_prefix=str(given["prefix"]),
        dataroot=str(given["directory"]),
        session_key=given["mark"][:8],
        state=SiteState.ENABLED,
        admin_user=f"vmoodle-{kind}",
        admin_email=f"vmoodle-{kind}@vmoodle.invalid",
    )


def holdings_of(installation: Installation, operation: Operation) -> Holdings:
    """Return what the operation has; without a password once it was over."""
    site = scratch_site(installation, operation)
    password = _password(installation, operation)
    database = SiteDatabase(site.database, site.account, password, site.table_prefix)
    return Holdings(operation.subject, site.server, database, Path(site.dataroot))


def _password(installation: Installation, operation: Operation) -> Secret:
    # It is taken when all is dropped that it opened; what is dropped once more needs none.
    sealed = operation.secret_encrypted
    return installation.keyring.decrypt(sealed) if sealed else Secret("")


def published_copy(installation: Installation, site: Site) -> PublishedSite:
    """Return all the map says of a copy; what is forced on the fleet's sites is not forced on it.

    Directories, caches and log-ins that the fleet's settings name are no copy's to use.
    """
    return PublishedSite(
        shortname=site.shortname,
        codebase=site.codebase.name,
        state="live",
        address=parse_wwwroot(site.wwwroot),
        dataroot=site.dataroot,
        database_config=installation.engine(site.server).moodle_config(
            installation.site_database(site)
        ),
        session_key=site.session_key,
        forced_cfg=_FORCED,
        forced_plugins=_FORCED_PLUGINS,
        component_cache=site.codebase.component_cache or None,
    )


def every_published_copy(installation: Installation) -> Iterator[PublishedSite]:
    """Yield the copies that drills and rehearsals under way have put into the map."""
    for operation in (*owners.drills(), *owners.rehearsals()):
        if operation.result.get(PUBLISHED):
            yield published_copy(installation, scratch_site(installation, operation))
