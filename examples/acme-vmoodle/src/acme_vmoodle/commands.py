"""Two commands: one that only reads, and one that changes sites."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vmoodle.errors import NotFound
from vmoodle.fleet.command import Command, Comparison, Effect
from vmoodle.fleet.parameters import Parameters, Search
from vmoodle.fleet.result import Result, Scalar, Table
from vmoodle.fleet.target_site import TargetSite

_CONDITIONS = {
    "all": "deleted = 0",
    "suspended": "deleted = 0 AND suspended = 1",
    "deleted": "deleted = 1",
}


class Which(Parameters):
    """Which users count."""

    users: Literal["all", "suspended", "deleted"] = Field(
        default="all", description="Which users count."
    )


class Count(Command[Which]):
    """Count the users of a site."""

    name = "acme.users"
    title = "Count the users."
    effect = Effect.READS
    model = Which

    def run(self, site: TargetSite) -> Result:
        """Return how many there are."""
        condition = _CONDITIONS[self.given.users]
        with site.connect() as connection:
            ((count,),) = connection.query(f"SELECT COUNT(*) FROM {{user}} WHERE {condition}")
        return Scalar(int(count))


def themes(site: TargetSite) -> list[str]:
    """Return the themes that a site knows, for the list from which one is chosen."""
    with site.connect() as connection:
        rows = connection.query(
            "SELECT DISTINCT plugin FROM {config_plugins} WHERE plugin LIKE %s", ("theme%",)
        )
    return sorted(str(plugin).removeprefix("theme_") for (plugin,) in rows)


class Themes(Parameters):
    """One theme in the place of another."""

    old: Annotated[str, Search(themes)] = Field(description="The theme that goes.")
    new: Annotated[str, Search(themes)] = Field(description="The theme that comes.")


class RenameTheme(Command[Themes]):
    """Put one theme in the place of another, where it is the site's."""

    name = "acme.rename-theme"
    title = "Put one theme in the place of another."
    effect = Effect.WRITES
    model = Themes
    idempotent = True  # a second time there is nothing left to do
    comparison = Comparison.MERGED

    def run(self, site: TargetSite) -> Result:
        """Change it, and return how many settings were changed."""
        if self.given.new not in themes(site):
            raise NotFound(
                "acme.theme", f"The site has no theme {self.given.new}.", "Install it first."
            )
        with site.connect(read_only=False) as connection:
            changed = connection.execute(
                "UPDATE {config} SET value = %s WHERE name = %s AND value = %s",
                (self.given.new, "theme", self.given.old),
            )
        return Table(("changed",), ((changed,),))

    def dry_run(self, site: TargetSite) -> Result:
        """Return how many settings would be changed."""
        with site.connect() as connection:
            ((count,),) = connection.query(
                "SELECT COUNT(*) FROM {config} WHERE name = %s AND value = %s",
                ("theme", self.given.old),
            )
        return Table(("changed",), ((int(count),),))
