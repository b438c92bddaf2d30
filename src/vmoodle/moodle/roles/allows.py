"""Which roles may assign, override, switch to and see which: compared over sites, and synced."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from vmoodle.moodle.roles.comparison import yes_no
from vmoodle.moodle.roles.definitions import Allow, SiteRoles
from vmoodle.moodle.roles.plan import CellChange, Part, RolePlan, Skipped


def allows_column(site: SiteRoles, allows: Iterable[Allow] = tuple(Allow)) -> dict[str, str]:
    """Return for each pair of roles whether the one may do it with the other, by its words.

    Give it a site with all its roles.
    """
    return {
        f"{role.shortname} may {allow} {other}": yes_no(other in role.allows.get(allow, ()))
        for allow in allows
        for role in site.roles.values()
        for other in site.shortnames
    }


def plan_allows(
    source: SiteRoles,
    site: SiteRoles,
    *,
    allows: Iterable[Allow] = tuple(Allow),
    touching: Collection[str] | None = None,
) -> list[RolePlan]:
    """Return a plan for each role of the site whose pairs differ from the source's.

    A pair is left as it is where the source has not both roles, and skipped where the site has
    not. `touching` narrows to the pairs in which one of these roles is, on either side.
    """
    wanted = tuple(allows)
    plans = []
    for role in source.roles.values():
        changes: list[CellChange] = []
        skipped: list[Skipped] = []
        for allow in wanted:
            part = Part(f"allow {allow}")
            given = role.allows.get(allow, frozenset())
            own = site.roles[role.shortname].allows if role.shortname in site.roles else {}
            has = own.get(allow, frozenset()) & set(source.shortnames)
            for other in sorted(given ^ has):
                if touching is not None and not {role.shortname, other} & set(touching):
                    continue
                if role.shortname in site.roles and other in site.shortnames:
                    changes.append(CellChange(part, other, other in has, other in given))
                else:
                    skipped.append(Skipped(part, other, "the site has not both roles"))
        if changes or skipped:
            plans.append(RolePlan(role.shortname, tuple(changes), tuple(skipped)))
    return plans
