"""What is shown of a site, for people and for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmoodle.cli.output import moment, print_block, print_json

if TYPE_CHECKING:
    from vmoodle.registry.models import Site


def show_site(site: Site, *, json: bool) -> None:
    """Print a site as a block, or as one JSON document."""
    facts = site_facts(site)
    if json:
        print_json(facts)
    else:
        print_block(facts)


def site_facts(site: Site) -> dict[str, Any]:
    """Return what an administrator sees of a site."""
    from vmoodle.registry import sites

    return {
        "shortname": site.shortname,
        "name": site.name,
        "url": site.wwwroot,
        "state": site.state,
        "reason": site.state_reason,
        "codebase": site.codebase.name,
        "server": site.server.name,
        "database": site.database,
        "account": site.account,
        "prefix": site.table_prefix,
        "dataroot": site.dataroot,
        "adopted": site.adopted,
        "admin_user": site.admin_user,
        "admin_email": site.admin_email,
        "labels": [f"{key}={value}" for key, value in sites.label_values(site).items()],
        "aliases": sites.alias_hosts(site),
        "created": moment(site.created_at),
        "kept_until": moment(site.purge_after),
    }
