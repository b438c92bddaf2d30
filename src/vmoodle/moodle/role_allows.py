"""Which roles may assign, override, switch to and see which: compared over sites, and synced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from vmoodle.moodle.role_definitions import Allow, SiteRoles
from vmoodle.moodle.role_plan import CellChange, Part, RolePlan, Skipped


@dataclass(frozen=True)
class AllowRow:
    """One pair of roles on all sites; None where the site has not both."""

    allow: Allow
    role: str
    other: str
    majority: bool
    cells: Mapping[str, bool | None]

    @property
    def differing(self) -> tuple[str, ...]:
        """Return the sites that have both roles and stand out."""
        return tuple(s for s, value in self.cells.items() if value not in (None, self.majority))


def compare_allows(
    sites: Mapping[str, SiteRoles], allows: Iterable[Allow] = tuple(Allow)
) -> list[AllowRow]:
    """Return a row for each pair that any site allows; give every site all its roles."""
    rows = []
    for allow in allows:
        pairs = {
            (role.shortname, other)
            for site in sites.values()
            for role in site.roles.values()
            for other in role.allows.get(allow, ())
        }
        for role, other in sorted(pairs):
            cells = {name: _cell(site, allow, role, other) for name, site in sites.items()}
            values = Counter(value for value in cells.values() if value is not None)
            rows.append(AllowRow(allow, role, other, values.most_common(1)[0][0], cells))
    return rows


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


def _cell(site: SiteRoles, allow: Allow, role: str, other: str) -> bool | None:
    if role not in site.roles or other not in site.shortnames:
        return None
    return other in site.roles[role].allows.get(allow, frozenset())
