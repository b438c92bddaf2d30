"""Sessions of sites: who is logged in is logged out."""

from __future__ import annotations

import json
from typing import Self

from pydantic import Field, model_validator

from vmoodle.engines.protocol import SiteConnection
from vmoodle.fleet.command import Command, Effect
from vmoodle.fleet.parameters import Parameters, refuse_together
from vmoodle.fleet.result import Changed, Result, Table
from vmoodle.fleet.target_site import TargetSite, script_failed
from vmoodle.moodle.care.administrators import administrators, find_user
from vmoodle.moodle.care.sessions import (
    END_ALL,
    END_BY_MOODLE,
    Handler,
    end_rows,
    handler_of,
    logged_in,
    remove_files,
    session_directory,
)


class SessionsToEnd(Parameters):
    """Whose sessions end."""

    user: str = Field(default="", description="Only those of this user, by username.")
    but_admins: bool = Field(
        default=False, description="Leave the site's administrators logged in."
    )

    @model_validator(mode="after")
    def _fit(self) -> Self:
        refuse_together(user=self.user, but_admins=self.but_admins)
        return self


class EndSessions(Command[SessionsToEnd]):
    """End sessions."""

    name = "session.kill"
    title = "End sessions: of everybody, of one user, or of all but administrators."
    effect = Effect.INTERRUPTS
    model = SessionsToEnd
    idempotent = True
    scripts = True
    timeout = 120

    def run(self, site: TargetSite) -> Changed:
        """End them, and return how many people's sessions there were."""
        with site.connect() as connection:
            handler = handler_of(connection, site.forced)
            users, keep = self._who(connection, site)
            sids = logged_in(connection, users, keep)
        if users is None and not keep:
            _end_all(site)
        elif handler.by_rows:
            with site.change() as connection:
                end_rows(connection, users, keep)
            if handler is Handler.FILE:
                remove_files(session_directory(site.dataroot, site.forced), sids)
        else:
            given = json.dumps({"users": users, "keep": keep})
            site.run_code(END_BY_MOODLE, what="The end of sessions", given=given)
        return Changed(_answer(handler, len(sids)))

    def dry_run(self, site: TargetSite) -> Result:
        """Return how many sessions there are to end."""
        with site.connect() as connection:
            handler = handler_of(connection, site.forced)
            return _answer(handler, len(logged_in(connection, *self._who(connection, site))))

    def _who(
        self, connection: SiteConnection, site: TargetSite
    ) -> tuple[list[int] | None, list[int]]:
        """Return whose sessions end, None for everybody, and whose do not."""
        if self.given.user:
            return [find_user(connection, self.given.user).id], []
        if self.given.but_admins:
            return None, [one.id for one in administrators(connection, site.forced)]
        return None, []


def _end_all(site: TargetSite) -> None:
    done = site.run_script(END_ALL)
    if done.exit_status != 0:
        raise script_failed(END_ALL, done)


def _answer(handler: Handler, count: int) -> Table:
    """Return how many people's sessions; those that only Moodle can count have no number."""
    return Table(("sessions", "handler"), ((count if handler.by_rows else None, str(handler)),))
