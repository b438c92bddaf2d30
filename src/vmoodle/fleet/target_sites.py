"""Sites of the registry as commands see them, made a few at a time as they are needed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Never, TypeVar

from vmoodle.errors import Conflict, InvalidInput, NotFound, VMoodleError
from vmoodle.fleet.command import FOR_STATES, AnyCommand
from vmoodle.fleet.fan_out import Job
from vmoodle.fleet.parameters import parameters
from vmoodle.fleet.target_site import TargetSite
from vmoodle.operations.log import log_to
from vmoodle.registry import sites
from vmoodle.registry.forced import ForcedSettings
from vmoodle.registry.models import Codebase, DatabaseServer, Site, SiteLabel, state_words

if TYPE_CHECKING:
    from vmoodle.engines.protocol import Engine
    from vmoodle.installation import Installation

T = TypeVar("T")
_TOGETHER = 100
# What a command is told of a site; to make times of texts takes longer than all of these.
_COLUMNS = (
    "shortname", "wwwroot", "state", "codebase_id", "server_id", "database", "account",
    "password_encrypted", "table_prefix", "dataroot", "session_key",
)  # fmt: skip


@dataclass(frozen=True)
class _Facts:
    """What the registry knows of a few sites; what they share is read and made once."""

    sites: Mapping[int, Site]
    codebases: Mapping[int, Codebase]
    servers: Mapping[int, DatabaseServer]
    labels: Mapping[int, dict[str, str]]

    @classmethod
    def of(cls, ids: Collection[int]) -> _Facts:
        """Read them."""
        found = Site.objects.only(*_COLUMNS).in_bulk(ids)
        labels: dict[int, dict[str, str]] = {}
        for site, key, value in SiteLabel.objects.filter(site_id__in=ids).values_list(
            "site_id", "key", "value"
        ):
            labels.setdefault(site, {})[key] = value
        return cls(
            found,
            Codebase.objects.in_bulk({site.codebase_id for site in found.values()}),
            DatabaseServer.objects.in_bulk({site.server_id for site in found.values()}),
            labels,
        )


class TargetSites:
    """Makes jobs on sites; each database server is opened once."""

    def __init__(
        self,
        installation: Installation,
        timeout: float,
        states: Collection[str] = FOR_STATES,
    ) -> None:
        log_to(installation.home.log / "operations.log", "vmoodle")
        self._installation = installation
        self._timeout = timeout
        self._states = states
        self._engines: dict[int, Engine | VMoodleError] = {}
        self._forced = ForcedSettings()

    def lanes(
        self, servers: Mapping[int, Iterable[int]], act: Callable[[TargetSite], T]
    ) -> dict[int, Iterator[Job[T]]]:
        """Return for each server its jobs, the sites given by their ids; keys are ids as text."""
        return {server: self.jobs(ids, act) for server, ids in servers.items()}

    def jobs(self, ids: Iterable[int], act: Callable[[TargetSite], T]) -> Iterator[Job[T]]:
        """Give the jobs on sites, in their order; what cannot be prepared is told by its job."""
        rest = iter(ids)
        while chunk := list(islice(rest, _TOGETHER)):
            facts = _Facts.of(chunk)
            for site_id in chunk:
                yield Job(str(site_id), self._act(facts, site_id, act))

    def _act(self, facts: _Facts, site_id: int, act: Callable[[TargetSite], T]) -> Callable[[], T]:
        row = facts.sites.get(site_id)
        try:
            if row is None:
                raise NotFound(
                    "site.unknown",
                    "The site is no longer there.",
                    "`vmoodle site list` shows the sites.",
                )
            if row.state not in self._states:
                raise wrong_state(row.shortname, row.state, self._states)
            site = self._target(row, facts)
        except VMoodleError as error:
            return _raiser(error)
        return lambda: act(site)

    def _target(self, row: Site, facts: _Facts) -> TargetSite:
        codebase = facts.codebases[row.codebase_id]
        return TargetSite(
            shortname=row.shortname,
            wwwroot=row.wwwroot,
            state=row.state,
            release=codebase.release,
            codebase=Path(codebase.path),
            dataroot=Path(row.dataroot),
            engine=self._engine(facts.servers[row.server_id]),
            database=self._installation.site_database(row),
            installation=self._installation,
            forced=self._forced.of(row, facts.labels.get(row.id, {})),
            timeout=self._timeout,
            session_key=row.session_key,
        )

    def _engine(self, server: DatabaseServer) -> Engine:
        if server.id not in self._engines:
            try:
                self._engines[server.id] = self._installation.engine(server)
            except VMoodleError as error:
                self._engines[server.id] = error
        engine = self._engines[server.id]
        if isinstance(engine, VMoodleError):
            raise engine
        return engine


def wrong_state(shortname: str, state: str, states: Collection[str]) -> Conflict:
    """Return the error for a site in a state that a command is not for."""
    return Conflict(
        "site.state",
        f"The site {shortname} {state_words(state)}; the command is for sites "
        f"that are {' or '.join(sorted(states))}.",
        f"vmoodle site show {shortname}",
    )


def by_server(ids: Iterable[int]) -> dict[int, list[int]]:
    """Return the ids of sites by the id of their server; one that is gone is under 0."""
    wanted = list(ids)
    place = dict(Site.objects.filter(id__in=wanted).values_list("id", "server_id")) if (
        len(wanted) < 500
    ) else dict(Site.objects.values_list("id", "server_id"))  # fmt: skip
    found: dict[int, list[int]] = {}
    for site_id in wanted:
        found.setdefault(place.get(site_id, 0), []).append(site_id)
    return found


def _raiser(error: VMoodleError) -> Callable[[], Never]:
    def raise_it() -> Never:
        raise error

    return raise_it


def offered(
    installation: Installation, command: type[AnyCommand], name: str, shortname: str
) -> list[str]:
    """Return what a site, or the command itself, offers for a parameter.

    Raise InvalidInput `command.values` for a parameter that is chosen from no list.
    """
    one = next((one for one in parameters(command.model) if one.name == name), None)
    if one is None or not (one.search or one.choices):
        raise InvalidInput(
            "command.values",
            f"{command.name} has no parameter {name} that is chosen from a list.",
            f"vmoodle command show {command.name}",
        )
    if one.search is None:
        return list(one.choices)
    return one.search(target_site(installation, shortname))


def target_site(installation: Installation, shortname: str) -> TargetSite:
    """Return one site as commands see it, to be read.

    Raise NotFound `site.unknown`, Conflict `site.state` for one that is half-made or deleted.
    """
    site = sites.find(shortname)
    here = TargetSites(installation, installation.settings.fleet.timeout)
    (job,) = here.jobs([site.id], lambda target: target)
    return job.act()
