"""Sites as the benches of the host map publish them."""

from __future__ import annotations

from collections.abc import Iterator

from vmoodle.hook.address import parse_wwwroot
from vmoodle.hook.entry import PublishedSite


def host(number: int) -> str:
    """Return the host of a site."""
    return f"school{number}.example.org"


def site(number: int) -> PublishedSite:
    """Return a site with what a real one has, a few forced settings included."""
    return PublishedSite(
        shortname=f"school{number}",
        codebase="main",
        state="live",
        address=parse_wwwroot(f"https://{host(number)}"),
        dataroot=f"/var/moodledata/school{number}",
        database_config={
            "dbtype": "pgsql",
            "dblibrary": "native",
            "dbhost": "db.example.org",
            "dbname": f"vm_school{number}",
            "dbuser": f"vm_school{number}",
            "dbpass": f"{number:032x}",
            "prefix": "mdl_",
            "dboptions": {"dbpersist": False, "dbsocket": False, "dbport": 5432},
        },
        session_key=f"vm{number:08x}",
        forced_cfg={"debug": 0, "noemailever": False, "smtphosts": "mail.example.org"},
        forced_plugins={"auth_ldap": {"host_url": "ldaps://ldap.example.org"}},
        component_cache="/var/cache/vmoodle/main/core_component.php",
    )


def sites(count: int) -> Iterator[PublishedSite]:
    """Yield the sites of a fleet of that size."""
    return (site(number) for number in range(count))
