"""Request every site and compare what it answers with what the registry says it should."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from vmoodle.errors import VMoodleError
from vmoodle.hook.address import parse_wwwroot
from vmoodle.hook.check import check_site
from vmoodle.installation import Installation
from vmoodle.lifecycle.prove import configured, reach
from vmoodle.progress import Tell, tell_nobody
from vmoodle.registry import sites
from vmoodle.registry.models import Site, SiteState

# The HTTP status each state must be answered with, and whether the site's name must be seen.
_EXPECTED = {
    SiteState.ENABLED: 200,
    SiteState.SUSPENDED: 503,
    SiteState.DEPLOYING: 503,
    SiteState.DELETING: 410,
    SiteState.DELETED: 410,
    SiteState.ATTENTION: 503,
}


@dataclass(frozen=True)
class CheckedSite:
    """What one site answered."""

    site: str
    url: str
    ok: bool
    expected: str
    seen: str
    milliseconds: int

    def as_facts(self) -> dict[str, object]:
        """Return the members for JSON."""
        return asdict(self)


def check(
    installation: Installation,
    shortnames: list[str],
    *,
    public: bool = False,
    tell: Tell = tell_nobody,
) -> list[CheckedSite]:
    """Request the named sites, or all.

    With `public` at their own addresses as a visitor would (name service, TLS and web server
    included), else at `web.connect` or a private server for each codebase's sites. Where no server
    can be started on a tree, its sites are wrong for that reason and the others are requested.
    Raise NotFound for a name that no site has, InvalidInput for a web.connect that is none.
    """
    chosen = [sites.find(name) for name in shortnames] or list(sites.every())
    if public:
        return [_check_public(site, tell) for site in chosen]
    configured(installation)
    groups: dict[tuple[int, str], list[Site]] = {}
    for site in chosen:
        scheme = site.wwwroot.partition("://")[0]
        groups.setdefault((site.codebase_id, scheme), []).append(site)
    checked: list[CheckedSite] = []
    for group in groups.values():
        checked += _check_group(installation, group, tell)
    return sorted(checked, key=lambda row: row.site)


def _check_group(installation: Installation, group: list[Site], tell: Tell) -> list[CheckedSite]:
    """Request the sites of one tree; all are wrong when no server can be started on it."""
    try:
        with reach(installation, group[0]) as (target, tls):
            return [_check_one(site, target, tls=tls, tell=tell) for site in group]
    except VMoodleError as error:
        return [
            CheckedSite(site.shortname, site.wwwroot, False, _expected(site), error.message, 0)
            for site in group
        ]


def _check_public(site: Site, tell: Tell) -> CheckedSite:
    address = parse_wwwroot(site.wwwroot)
    target = (address.host, address.connect_port)
    return _check_one(site, target, tls=address.scheme == "https", tell=tell)


def _check_one(site: Site, target: tuple[str, int], *, tls: bool, tell: Tell) -> CheckedSite:
    tell(f"requesting {site.wwwroot}")
    answer = check_site(
        parse_wwwroot(site.wwwroot), connect_to=target, expected_name=site.name, tls=tls
    )
    status = _EXPECTED[SiteState(site.state)]
    ok = answer.status == status and (status != 200 or answer.seen_name)
    return CheckedSite(
        site.shortname, site.wwwroot, ok, _expected(site), answer.summary(), answer.milliseconds
    )


def _expected(site: Site) -> str:
    status = _EXPECTED[SiteState(site.state)]
    return f"200 {site.name}" if status == 200 else str(status)
