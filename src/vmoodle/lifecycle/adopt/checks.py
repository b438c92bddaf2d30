"""What must hold before an existing Moodle is adopted; looked at, and nothing changed."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmoodle.engines.protocol import SiteDatabase
from vmoodle.errors import Conflict, InvalidInput, Refused, VMoodleError
from vmoodle.hook.address import SiteAddress, parse_wwwroot
from vmoodle.installation import Installation
from vmoodle.lifecycle import names, preflight
from vmoodle.lifecycle.adopt.database import ExistingMoodle, look_into
from vmoodle.lifecycle.adopt.request import AdoptRequest
from vmoodle.lifecycle.adopt.server import choose_server
from vmoodle.lifecycle.copy.fit import fitting_codebases
from vmoodle.lifecycle.copy.identifiers import identifiers
from vmoodle.moodle.code.components import plugins
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.code.versions import all_versions_hash
from vmoodle.moodle.php.account import can_write
from vmoodle.moodle.php.source import Number
from vmoodle.registry import codebases, ledger, sites
from vmoodle.registry.models import Codebase, DatabaseServer, Site

# Of what Moodle makes in moodledata (lib/setup.php, lib/setuplib.php 4.5) one is always there.
_MOODLEDATA = ("filedir", "localcache", "cache", "temp", "lang", "muc", "sessions", "trashdir")
_MOST_NAMED = 8


@dataclass(frozen=True)
class Adoptable:
    """A Moodle that can be adopted: its site's values, and what the administrator should know.

    `unproved` says why its front page cannot show its name yet; empty where it must.
    """

    values: dict[str, Any]
    address: SiteAddress
    labels: dict[str, str]
    notes: tuple[str, ...]
    unproved: str


class KnownIdentifiers:
    """The siteidentifiers of the sites there are, asked once and kept up to date."""

    def __init__(self, installation: Installation) -> None:
        self._users = identifiers(
            (site.shortname, installation.engine(site.server), installation.site_database(site))
            for site in sites.every()
        )

    def others(self, identifier: str, shortname: str) -> list[str]:
        """Return who else has an identifier, and note that this site has it."""
        users = self._users.setdefault(identifier, [])
        others = [name for name in users if name != shortname]
        users.append(shortname)
        return others


def examine(
    installation: Installation, request: AdoptRequest, known: KnownIdentifiers | None = None
) -> Adoptable:
    """Look at everything a completed request names; change nothing.

    Raise the first reason why it cannot be adopted: InvalidInput, Conflict for what another site
    has, Refused for a database that is no Moodle or newer than the codebase, Unavailable.
    """
    address = parse_wwwroot(request.url)
    server = choose_server(installation, request)
    _refuse_ours(server, request)
    engine = installation.engine(server)
    assert request.password is not None  # noqa: S101 - a completed request has one
    database = SiteDatabase(
        request.database, request.account, request.password, request.table_prefix
    )
    if request.account == engine.address.user:
        raise _administrative(request.account, server)
    dataroot = _dataroot(installation, request.dataroot)
    moodle = look_into(engine, database)
    codebase = _codebase(request.codebase, moodle)
    preflight.check_tree(codebase, address)
    preflight.check_runnable(installation, codebase, server)
    pending = _upgrade_pending(codebase, moodle)
    values = {
        "shortname": names.shortname(request.shortname),
        "name": names.full_name(moodle.name),
        "wwwroot": address.wwwroot,
        "address_key": address.key,
        "codebase": codebase,
        "server": server,
        "database": request.database,
        "account": request.account,
        "password_encrypted": installation.encrypt(request.password),
        "table_prefix": request.table_prefix,
        "dataroot": str(dataroot),
        "session_key": secrets.token_hex(4),
        "admin_user": moodle.admin_user[:100],
        "admin_email": moodle.admin_email[:100],
        "adopted": True,
    }
    _refuse_taken(values)
    known = known or KnownIdentifiers(installation)
    notes = [*request.notes, *_notes(values, moodle, known)]
    unproved = ""
    if pending:
        notes.append(f"{pending}: run admin/cli/upgrade.php with vmoodle exec")
        unproved = "an upgrade is pending"
    elif moodle.maintenance or (dataroot / "climaintenance.html").exists():
        unproved = "it is in maintenance mode"
        notes.append(unproved)
    return Adoptable(values, address, names.labels(request.labels), tuple(notes), unproved)


def _administrative(account: str, server: DatabaseServer) -> Refused:
    return Refused(
        "adopt.account.administrative",
        f"The Moodle's database account {account} is the one with which VMoodle "
        f"administers {server.name}.",
        "Give the Moodle an account of its own, with rights on its database alone.",
    )


def _refuse_ours(server: DatabaseServer, request: AdoptRequest) -> None:
    """Raise Conflict for a database or an account that VMoodle made, or a site has already."""
    other = Site.objects.filter(server=server, database=request.database).first()
    if other is not None:
        raise Conflict(
            "adopt.database.taken",
            f"The database {request.database} on {server.name} is the site {other.shortname}'s.",
            "Each site has a database of its own; `vmoodle site list` shows the sites.",
        )
    for kind, name in ((ledger.DATABASE, request.database), (ledger.ACCOUNT, request.account)):
        if ledger.is_known(kind, server.name, name):
            raise Conflict(
                "adopt.database.ours",
                f"The {kind} {name} on {server.name} was made by VMoodle.",
                "What VMoodle made is no existing Moodle; give the Moodle its own.",
            )


def _refuse_taken(values: Mapping[str, Any]) -> None:
    """Raise Conflict for what another site has; a copy of a live site has its address too."""
    try:
        sites.refuse_taken(values)
    except Conflict as error:
        if error.code != "site.url.taken":
            raise
        raise Conflict(
            error.code,
            error.message,
            f"{error.hint} A copy of a live site is adopted at an address of its own: vmoodle site "
            f"adopt {values['shortname']} --url URL, with the other options as they were.",
        ) from error


def _dataroot(installation: Installation, text: str) -> Path:
    """Return the real place of an existing moodledata; raise what is wrong with it."""
    given = Path(text)
    if not given.is_absolute() or ".." in given.parts:
        raise InvalidInput(
            "adopt.dataroot", f"{text} is not an absolute path.", "Give it from / on."
        )
    path = given.resolve()
    try:
        looks = path.is_dir() and any((path / name).is_dir() for name in _MOODLEDATA)
    except OSError:
        looks = False
    if not looks:
        raise Refused(
            "adopt.dataroot.none",
            f"{path} is no moodledata: it has no filedir, nor any other directory of Moodle's.",
            "Give $CFG->dataroot of the Moodle; VMoodle's account must be able to read it.",
        )
    account = installation.web_account.pw_name
    if not can_write(path, account):
        raise Refused(
            "adopt.dataroot.closed",
            f"The web account {account} cannot write in {path}.",
            f"chown -R {account} {path}, or set web.account in vmoodle.toml.",
        )
    _refuse_shared(path)
    return path


def _refuse_shared(path: Path) -> None:
    for shortname, other in Site.objects.values_list("shortname", "dataroot"):
        place = Path(other)
        if path == place or place in path.parents or path in place.parents:
            raise Conflict(
                "adopt.dataroot.shared",
                f"{path} and the moodledata of the site {shortname}, {place}, are one or lie in "
                "each other.",
                "Each site has a moodledata of its own.",
            )
    if ledger.is_known(ledger.DIRECTORY, "", str(path)):
        raise Conflict(
            "adopt.dataroot.shared",
            f"{path} was made by VMoodle.",
            "Give the moodledata of the existing Moodle.",
        )


def _codebase(name: str, moodle: ExistingMoodle) -> Codebase:
    """Return the codebase named, else the one of exactly these versions, else the only one.

    Raise Refused `adopt.newer` for a database that is newer than the codebase.
    """
    ask = not name and moodle.versions_hash
    fitting = fitting_codebases(moodle.versions_hash) if ask else []
    codebase = codebases.find(fitting[0]) if fitting else codebases.chosen(name)
    tree = MoodleTree.open(Path(codebase.path))
    if moodle.number > tree.version.number:
        raise Refused(
            "adopt.newer",
            f"The database is of Moodle {moodle.release} ({moodle.version}), newer than the "
            f"codebase {codebase.name} at {tree.version.release}; Moodle cannot go back.",
            "Add a codebase of that version or a later one: vmoodle codebase add NAME PATH",
        )
    _refuse_newer_plugins(tree, codebase, moodle.plugins)
    return codebase


def _refuse_newer_plugins(
    tree: MoodleTree, codebase: Codebase, installed: Mapping[str, str]
) -> None:
    on_disk = _versions(tree)
    newer = [
        component
        for component, version in installed.items()
        if component in on_disk and _number(version) > _number(on_disk[component])
    ]
    if newer:
        raise Refused(
            "adopt.newer",
            f"The database has newer versions of plugins than the codebase {codebase.name}: "
            + _listed(newer),
            "Put these versions of the plugins, or later ones, into the codebase.",
        )


def _versions(tree: MoodleTree) -> dict[str, str]:
    found = {}
    for plugin in plugins(tree):
        version = plugin.read().version
        found[plugin.component] = version.text if isinstance(version, Number) else str(version)
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _upgrade_pending(codebase: Codebase, moodle: ExistingMoodle) -> str:
    """Return in words what the database lacks of the codebase's versions, empty for nothing."""
    tree = MoodleTree.open(Path(codebase.path))
    if moodle.upgrading:
        raise Conflict(
            "site.upgrading", "The Moodle is being installed or upgraded.", "Let that end first."
        )
    if moodle.number < tree.version.number:
        return f"an upgrade is pending, from Moodle {moodle.release} to {tree.version.release}"
    if moodle.versions_hash != all_versions_hash(tree):
        lost = [one for one in moodle.plugins if one not in _versions(tree) and "_" in one]
        said = "an upgrade is pending: its plugins differ from the codebase's"
        return said + (f", which lacks {_listed(lost)}" if lost else "")
    return ""


def _notes(values: Mapping[str, Any], moodle: ExistingMoodle, known: KnownIdentifiers) -> list[str]:
    said = []
    shared = Site.objects.filter(server=values["server"], account=values["account"])
    if names_of := list(shared.values_list("shortname", flat=True)):
        said.append(
            f"its database account {values['account']} is also that of {_listed(names_of)}: "
            "each of them can read the others"
        )
    if moodle.neighbours:
        said.append(
            "its database also holds tables of other Moodles "
            f"({', '.join(moodle.neighbours)}): copies and snapshots would have them too"
        )
    if moodle.collation:
        said.append(
            f"its tables are in {moodle.collation}; Moodle is told utf8mb4_unicode_ci: convert "
            "them with admin/cli/mysql_collation.php --collation=utf8mb4_unicode_ci"
        )
    if moodle.own_wwwroot and _differs(moodle.own_wwwroot, str(values["wwwroot"])):
        said.append(
            f"it knows itself as {moodle.own_wwwroot}: addresses in its content stay as they are; "
            + _to_rewrite(moodle.own_wwwroot, values)
        )
    if others := known.others(moodle.siteidentifier, str(values["shortname"])):
        said.append(
            f"it has the siteidentifier of {_listed(others)}: one is a copy of the other, and "
            "`vmoodle doctor` says how to give it its own"
        )
    return said


def _to_rewrite(own: str, values: Mapping[str, Any]) -> str:
    """Return how the addresses in its content become its new one's."""
    try:
        free = not Site.objects.filter(address_key=parse_wwwroot(own).key).exists()
    except VMoodleError:
        free = False
    if free:
        return "adopt it there and move it (vmoodle site move) to have them rewritten"
    return (
        "it cannot be adopted there. To have them rewritten, use Moodle's own tool afterwards: "
        f"vmoodle exec {values['shortname']} -- admin/tool/replace/cli/replace.php "
        f"--search={shlex.quote(own)} --replace={values['wwwroot']} --non-interactive"
    )


def _differs(own: str, wwwroot: str) -> bool:
    try:
        return parse_wwwroot(own).wwwroot != wwwroot
    except VMoodleError:
        return True


def _listed(words: list[str]) -> str:
    rest = len(words) - _MOST_NAMED
    return ", ".join(sorted(words)[:_MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")
