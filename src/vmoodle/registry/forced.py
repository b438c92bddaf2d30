"""Forced settings: what the fleet, a label or a site forces, and how the three are merged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vmoodle.errors import NotFound
from vmoodle.registry.models import ForcedSetting, Site


@dataclass(frozen=True)
class Scope:
    """Where a setting is forced: a site, the sites with a label, or (neither) the whole fleet."""

    site: Site | None = None
    label_key: str = ""
    label_value: str = ""

    def columns(self) -> dict[str, Any]:
        """Return the columns that select the scope's rows."""
        return {"site": self.site, "label_key": self.label_key, "label_value": self.label_value}

    def __str__(self) -> str:
        if self.site is not None:
            return f"site {self.site.shortname}"
        return f"label {self.label_key}={self.label_value}" if self.label_key else "fleet"


def force(scope: Scope, component: str, name: str, value: object) -> None:
    """Force a setting in a scope; component '' is Moodle's core (`$CFG->name`)."""
    ForcedSetting.objects.update_or_create(
        **scope.columns(), component=component, name=name, defaults={"value": value}
    )


def release(scope: Scope, component: str, name: str) -> None:
    """Stop forcing a setting in a scope; raise NotFound when it is not forced there."""
    removed, _details = ForcedSetting.objects.filter(
        **scope.columns(), component=component, name=name
    ).delete()
    if not removed:
        shown = f"{component}/{name}" if component else name
        raise NotFound(
            "forced.unknown",
            f"{shown} is not forced for the {scope}.",
            "`vmoodle forced list` shows what is forced where.",
        )


def rows() -> list[ForcedSetting]:
    """Return all forced settings: of the fleet, then of labels, then of sites."""
    return list(
        ForcedSetting.objects.select_related("site").order_by(
            "site__shortname", "label_key", "label_value", "component", "name"
        )
    )


class ForcedSettings:
    """All forced settings, read once, for merging into many sites."""

    def __init__(self) -> None:
        rows = sorted(ForcedSetting.objects.all(), key=lambda row: row.label_key)
        self._shared = [row for row in rows if row.site_id is None]
        self._own: dict[int, list[ForcedSetting]] = {}
        for row in rows:
            if row.site_id is not None:
                self._own.setdefault(row.site_id, []).append(row)

    def of(self, site: Site, labels: dict[str, str]) -> dict[str, dict[str, Any]]:
        """Return the settings forced on a site by component, the narrowest scope winning.

        Two labels that force the same setting: the one whose key comes last in the alphabet wins.
        """
        merged: dict[str, dict[str, Any]] = {}
        for row in [*self._shared, *self._own.get(site.id, ())]:
            own = row.site_id is not None
            if own or not row.label_key or labels.get(row.label_key) == row.label_value:
                merged.setdefault(row.component, {})[row.name] = row.value
        return merged
