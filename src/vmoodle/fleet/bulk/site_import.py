"""Make, adopt or snapshot the sites of a list; a line that fails stops no other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vmoodle.errors import Conflict, NotFound, VMoodleError
from vmoodle.fleet.bulk.outcome import QUEUED, Outcome, failed
from vmoodle.fleet.bulk.site_list import ListedSite, SiteList, label_words
from vmoodle.hook.address import parse_wwwroot
from vmoodle.installation import Installation
from vmoodle.lifecycle.adopt import adopt
from vmoodle.lifecycle.adopt.checks import KnownIdentifiers
from vmoodle.lifecycle.adopt.request import AdoptRequest
from vmoodle.lifecycle.adopt.server import choose_server
from vmoodle.lifecycle.create import create, deploy
from vmoodle.lifecycle.create.request import SiteRequest
from vmoodle.lifecycle.create.settings import NewSettings
from vmoodle.lifecycle.snapshot import snapshot
from vmoodle.progress import Tell, tell_nobody
from vmoodle.registry.models import Operation, Site
from vmoodle.registry.source_names import template_or_snapshot
from vmoodle.secret import Secret

OK = "ok"
SKIPPED = "skipped"
_DONE = {"create": "created", "adopt": "adopted", "snapshot": "snapshotted"}

# What two lines cannot both have: the error's code, and what to call it.
_UNIQUE = {
    "shortname": ("site.shortname.taken", "the shortname"),
    "address_key": ("site.url.taken", "the address"),
    "dataroot": ("site.dataroot.taken", "the moodledata"),
    "database": ("site.taken", "the database"),
    "account": ("site.taken", "the database account"),
    "snapshot": ("operation.site.busy", "a snapshot of the site"),
}


def lint(listed: SiteList) -> list[Outcome]:
    """Return what each line's words alone tell; nothing is asked and nothing changed."""
    return [
        failed(_name(row), row.problem, line=row.line)
        if row.problem
        else Outcome(_name(row), OK, line=row.line)
        for row in listed.rows
    ]


def simulate(
    installation: Installation, listed: SiteList, tell: Tell = tell_nobody
) -> list[Outcome]:
    """Return what would come of each line as far as all checks tell; change nothing."""
    return [outcome for outcome, _row in _Import(installation, keep=False).each(listed, tell)]


def order(
    installation: Installation, listed: SiteList, tell: Tell = tell_nobody
) -> list[tuple[Outcome, ListedSite]]:
    """Queue the operation of each line that can be done; return what came of each so far."""
    return list(_Import(installation, keep=True).each(listed, tell))


def ended(row: ListedSite, operation: Operation) -> Outcome:
    """Return the outcome of a line whose operation is done."""
    notes = operation.result.get("notes", [])
    return Outcome(_name(row), _DONE[row.action], operation.id, line=row.line, notes=tuple(notes))


class _Import:
    """Takes the lines of one list; `keep` is False for a simulation, which leaves nothing."""

    def __init__(self, installation: Installation, *, keep: bool) -> None:
        self._installation = installation
        self._keep = keep
        self._known: KnownIdentifiers | None = None
        self._taken = _Taken()

    def each(self, listed: SiteList, tell: Tell) -> Iterator[tuple[Outcome, ListedSite]]:
        """Give what came of each line, with the line."""
        for row in listed.rows:
            tell(f"checking line {row.line}: {_name(row)}")
            try:
                yield self._outcome(row), row
            except VMoodleError as error:
                yield failed(_name(row), error, line=row.line), row

    def _outcome(self, row: ListedSite) -> Outcome:
        if row.problem:
            raise row.problem
        if row.action != "snapshot" and _is_there(row):
            return Outcome(_name(row), SKIPPED, message="The site is there already.", line=row.line)
        if not self._keep:
            return Outcome(_name(row), OK, line=row.line, notes=self._plan(row))
        return Outcome(_name(row), QUEUED, self._submit(row).id, line=row.line)

    def _plan(self, row: ListedSite) -> tuple[str, ...]:
        """Check a line and return what to know of it; change nothing, raise as `_submit`."""
        installation = self._installation
        if row.action == "snapshot":
            site = snapshot.plan(installation, _site_at(row.get("url")))
            self._taken.take({"snapshot": site.shortname}, row.line)
            return ()
        notes: tuple[str, ...] = ()
        if row.action == "adopt":
            found = adopt.plan(installation, _adoption(row), _config(row), self._identifiers())
            values, notes = found.values, found.notes
        elif source := template_or_snapshot(row.get("template"), row.get("snapshot")):
            values = deploy.plan(installation, self._request(row), source).values
        else:
            values = create.plan(installation, self._request(row)).values
        self._taken.take(values, row.line)
        return notes

    def _submit(self, row: ListedSite) -> Operation:
        installation = self._installation
        if row.action == "adopt":
            return adopt.submit(
                installation, _adoption(row), _config(row), known=self._identifiers()
            )
        if row.action == "snapshot":
            return snapshot.submit(installation, _site_at(row.get("url")))
        request = self._request(row)
        if source := template_or_snapshot(row.get("template"), row.get("snapshot")):
            return deploy.submit(installation, request, source)
        return create.submit(installation, request)

    def _request(self, row: ListedSite) -> SiteRequest:
        server = row.get("server")
        if not server and (row.get("host") or row.get("engine")):
            server = choose_server(self._installation, _adoption(row)).name
        password = row.get("admin_password")
        return SiteRequest(
            shortname=row.get("shortname"),
            url=row.get("url"),
            name=row.get("name") or None,
            codebase=row.get("codebase"),
            server=server,
            admin_user=row.get("admin_user"),
            admin_email=row.get("admin_email"),
            admin_password=Secret(password) if password else None,
            table_prefix=row.get("prefix"),
            labels=label_words(row.get("labels")),
            settings=NewSettings(row.config, row.plugins, row.get("description")),
            suspended=_suspended(row),
        )

    def _identifiers(self) -> KnownIdentifiers:
        if self._known is None:
            self._known = KnownIdentifiers(self._installation)
        return self._known


class _Taken:
    """What the earlier lines of a simulated list would have taken: by what, and its line."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, ...], int] = {}

    def take(self, values: Mapping[str, Any], line: int) -> None:
        """Note what a line takes; raise Conflict, as the registry would, for what is taken."""
        on = str(values["server"].name) if "server" in values else ""
        keys = {
            (name, on if name in {"database", "account"} else "", str(values[name])): said
            for name, said in _UNIQUE.items()
            if name in values and not (name == "account" and values.get("adopted"))
        }
        for key, (code, words) in keys.items():
            if key in self._lines:
                raise Conflict(
                    code,
                    f"Line {self._lines[key]} takes {words} {key[2]} already.",
                    "Remove one of the two lines, or choose another.",
                )
        self._lines |= dict.fromkeys(keys, line)


def _adoption(row: ListedSite) -> AdoptRequest:
    host, port = _host_and_port(row)
    password = row.get("password")
    return AdoptRequest(
        shortname=row.get("shortname"),
        url=row.get("url"),
        database=row.get("database"),
        account=row.get("account"),
        password=Secret(password) if password else None,
        dataroot=row.get("dataroot"),
        table_prefix=row.get("prefix"),
        codebase=row.get("codebase"),
        server=row.get("server"),
        engine=row.get("engine"),
        host=host,
        port=port,
        socket=row.get("socket"),
        labels=label_words(row.get("labels")),
        suspended=_suspended(row),
    )


def _suspended(row: ListedSite) -> str:
    """Return why the site is to be suspended once it is proved, empty for one that serves."""
    return "enabled is 0 in the list it came from" if row.get("enabled") == "0" else ""


def _host_and_port(row: ListedSite) -> tuple[str, int | None]:
    """Return where the database server is; the original writes host:port in one column."""
    host, separator, port = row.get("host").rpartition(":")
    if separator and port.isdigit() and ":" not in host:
        return host, int(port)
    given = row.get("port")
    return row.get("host"), int(given) if given else None


def _config(row: ListedSite) -> Path | None:
    return Path(row.get("config")) if row.get("config") else None


def _is_there(row: ListedSite) -> bool:
    """Tell whether the line's site is there; raise Conflict for another one of its shortname."""
    site = Site.objects.filter(shortname=row.get("shortname")).first()
    if site is None:
        return False
    if row.get("url") and parse_wwwroot(row.get("url")).key != site.address_key:
        raise Conflict(
            "site.shortname.taken",
            f"The shortname {site.shortname} belongs to the site at {site.wwwroot}.",
            "Choose another; `vmoodle site list` shows what is taken.",
        )
    return True


def _site_at(url: str) -> str:
    site = Site.objects.filter(address_key=parse_wwwroot(url).key).first()
    if site is None:
        raise NotFound(
            "site.unknown", f"There is no site at {url}.", "`vmoodle site list` shows the sites."
        )
    return site.shortname


def _name(row: ListedSite) -> str:
    return row.get("shortname") or row.get("url")
