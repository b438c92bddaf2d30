"""Maintenance of sites: closed to visitors at once or later, opened again, and shown."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Generic, Self, TypeVar

from pydantic import Field, model_validator

from vmoodle.errors import Conflict, Failed, InvalidInput, changed_since
from vmoodle.fleet.command import Command, Comparison, Effect
from vmoodle.fleet.parameter_words import called
from vmoodle.fleet.parameters import LongText, Parameters, refuse_together
from vmoodle.fleet.result import Changed, Result, Table
from vmoodle.fleet.target_site import TargetSite
from vmoodle.moodle.caches.invalidation import Change
from vmoodle.moodle.care.maintenance import (
    MAKE_PAGE,
    NEW_PAGE,
    Maintenance,
    State,
    closed_word,
    is_as_left,
    put_page,
    read_maintenance,
    refuse_forced_settings,
    write_settings,
)
from vmoodle.moodle.care.maintenance_message import checked_message

if TYPE_CHECKING:
    from vmoodle.installation import Installation

P = TypeVar("P", bound=Parameters)
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_COLUMNS = ("was", "is")
_LONGEST_MINUTES = 366 * 24 * 60


class Closing(Parameters):
    """How sites are closed."""

    message: Annotated[str | None, LongText()] = Field(
        default=None,
        description="HTML for the visitors; '' is Moodle's own text. Without it each site's stays.",
    )
    at: str = Field(
        default="", description="Close then: 2026-12-24 22:00 or 22:00 in UTC, or with an offset."
    )
    minutes: int | None = Field(
        default=None, ge=1, le=_LONGEST_MINUTES, description="Close in so many minutes."
    )
    but_admins: bool = Field(
        default=False, description="Let in who may visit a site under maintenance: administrators."
    )

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.message:
            checked_message(self.message)
        # Moodle closes to everybody when it closes later.
        refuse_together(at=self.at, minutes=self.minutes, but_admins=self.but_admins)
        _moment(self.at)
        return self


class _Maintain(Command[P], Generic[P]):
    """What changes the maintenance of a site and can be taken back."""

    effect = Effect.INTERRUPTS
    comparison = Comparison.BY_ROW
    idempotent = True
    scripts = True

    def run(self, site: TargetSite) -> Changed:
        """Make it so, and return what the site was before and is now."""
        with site.connect() as connection:
            before = read_maintenance(connection, site.dataroot, site.forced)
        return _change(site, before, self.wanted(site, before))

    def dry_run(self, site: TargetSite) -> Result:
        """Return what the site is, and what it would be."""
        with site.connect() as connection:
            before = read_maintenance(connection, site.dataroot, site.forced)
            wanted = self.wanted(site, before)
            refuse_forced_settings(connection, before, wanted, site.forced)
        return _answer(before, wanted) if wanted != before else Table(_COLUMNS, ())

    @classmethod
    def changes_nothing(cls, answer: Result) -> bool:
        """Tell whether the site is as it is to be."""
        return answer == Table(_COLUMNS, ())

    def undo(self, site: TargetSite, kept: Any, *, dry: bool) -> Result | Changed:
        """Bring back what was before, where nobody has changed it since."""
        before, left = (Maintenance.from_data(kept[key]) for key in ("before", "left"))
        with site.connect() as connection:
            now = read_maintenance(connection, site.dataroot, site.forced)
        if not is_as_left(now, left):
            raise changed_since(
                "maintenance.changed",
                f"the maintenance of the site (it is {now.state} by now)",
                f"vmoodle maintenance show --on {site.shortname}",
            )
        return _answer(now, before) if dry else _change(site, now, before)

    def wanted(self, site: TargetSite, before: Maintenance) -> Maintenance:
        """Return what the site is to be; a page that Moodle is to make has no content yet."""
        raise NotImplementedError


class CloseSites(_Maintain[Closing]):
    """Close."""

    name = "maintenance.on"
    title = "Close sites to visitors, at once or later."
    model = Closing

    @classmethod
    def settle(cls, given: Closing, installation: Installation) -> Closing:  # noqa: ARG003
        """Put in the time at which all sites close; raise InvalidInput `maintenance.time`."""
        now = datetime.now(UTC).replace(microsecond=0)
        moment = _moment(given.at, now)
        if given.minutes is not None:
            moment = now + timedelta(minutes=given.minutes)
        if moment is None:
            return given
        if not now < moment <= now + timedelta(minutes=_LONGEST_MINUTES):
            raise InvalidInput(
                "maintenance.time",
                f"{_shown(moment)} is not a time of the coming year.",
                f"Without {called('at')} and {called('minutes')} the sites close at once.",
            )
        return given.model_copy(update={"at": moment.isoformat(), "minutes": None})

    def wanted(self, site: TargetSite, before: Maintenance) -> Maintenance:
        """Return the state of a site that is closed as it was asked for."""
        given = self.given
        message = before.message if given.message is None else given.message
        moment = _moment(given.at)
        if moment is not None:
            if before.state in (State.CLOSED, State.ADMINISTRATORS):
                raise Conflict(
                    "maintenance.closed",
                    "The site is closed already.",
                    "Leave it out, or open it first by `vmoodle maintenance off`.",
                )
            return replace(before, later=str(int(moment.timestamp())), message=message)
        if given.but_admins:
            return Maintenance("1", None, message, None)
        word = closed_word(site.release)
        enabled = before.enabled if word == "0" and not before.is_enabled else word
        same = before.page is not None and message == before.message
        return Maintenance(enabled, None, message, before.page if same else NEW_PAGE)


class OpenSites(_Maintain[Parameters]):
    """Open."""

    name = "maintenance.off"
    title = "Open sites that are closed, or that are to close."
    effect = Effect.WRITES

    def wanted(self, site: TargetSite, before: Maintenance) -> Maintenance:  # noqa: ARG002
        """Return the state of an open site; its message stays for the next time."""
        enabled = "0" if before.is_enabled else before.enabled
        return Maintenance(enabled, None, before.message, None)


class ShowMaintenance(Command[Parameters]):
    """Tell."""

    name = "maintenance.show"
    title = "Tell which sites are closed, which are to close, and what visitors read."
    effect = Effect.READS

    def run(self, site: TargetSite) -> Result:
        """Return whether the site is closed, when it closes, and its message."""
        with site.connect() as connection:
            found = read_maintenance(connection, site.dataroot, site.forced)
        message = found.message if found.state is not State.OPEN else None
        return Table(
            ("state", "closes_at", "message"), ((str(found.state), _closes_at(found), message),)
        )


def _change(site: TargetSite, before: Maintenance, wanted: Maintenance) -> Changed:
    """Make a site what is wanted: settings and their cache, then the page."""
    if wanted == before:
        return Changed(_answer(before, before))
    with site.change() as connection:
        write_settings(connection, before, wanted, site.forced, mind=True)
    stale = site.drop_caches([Change.SETTINGS])
    try:
        if wanted.page is NEW_PAGE:
            site.run_code(MAKE_PAGE, what="Moodle's maintenance page")
        elif wanted.page != before.page:
            put_page(site.dataroot, wanted.page)
        with site.connect() as connection:
            left = read_maintenance(connection, site.dataroot, site.forced)
        _refuse_no_page(left, wanted)
    except BaseException:
        _restore(site, before, wanted)
        raise
    kept = {"before": before.as_data(), "left": left.as_data()}
    return Changed(_answer(before, left, stale), kept)


def _refuse_no_page(left: Maintenance, wanted: Maintenance) -> None:
    if (left.page is None) != (wanted.page is None):
        raise Failed(
            "maintenance.nopage",
            "Moodle did not make the page that closes the site.",
            "Run `vmoodle exec` with admin/cli/maintenance.php --enable to see why.",
        )


def _restore(site: TargetSite, before: Maintenance, wanted: Maintenance) -> None:
    """Bring back what was before a change that ended half-way: the settings, then the page."""
    try:
        with site.change() as connection:
            write_settings(connection, wanted, before, site.forced)
        site.drop_caches([Change.SETTINGS])
    finally:
        # Moodle takes a page away before it makes another.
        if wanted.page != before.page:
            put_page(site.dataroot, before.page)


def _answer(before: Maintenance, now: Maintenance, stale: list[str] | None = None) -> Table:
    """Return what was and is, the message where it is another, and what may still be stale."""
    cells = dict(zip(_COLUMNS, (_words(before), _words(now)), strict=True))
    if (before.message or "") != (now.message or ""):
        cells["message"] = now.message or "(Moodle's own)"
    if stale:
        cells["note"] = " ".join(stale)
    return Table(tuple(cells), (tuple(cells.values()),))


def _words(maintenance: Maintenance) -> str:
    moment = _closes_at(maintenance)
    if maintenance.state is State.LATER and moment:
        return f"open, closes {moment}"
    return str(maintenance.state)


def _closes_at(maintenance: Maintenance) -> str | None:
    if maintenance.closes_at is None or maintenance.state is not State.LATER:
        return None
    return _shown(datetime.fromtimestamp(maintenance.closes_at, UTC))


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _moment(text: str, now: datetime | None = None) -> datetime | None:
    """Return the time a text names, None for none; a clock time is the next such one, in UTC."""
    if not text:
        return None
    if clock := _CLOCK.fullmatch(text.strip()):
        now = now or datetime.fromtimestamp(time.time(), UTC)
        today = now.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
        return today if today > now else today + timedelta(days=1)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InvalidInput(
            "maintenance.time",
            f"{text!r} is no time.",
            "Write 2026-12-24 22:00 or 22:00 for UTC, or 2026-12-24T22:00+01:00.",
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
