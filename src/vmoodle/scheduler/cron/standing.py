"""What is known of one site's cron, and how that goes on: pure, with the moment given.

Times are Unix's, in seconds, by the wall clock, which may be set forwards and backwards: what lies
in the future is not believed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

BACKOFF = 60.0
LONGEST_BACKOFF = 3600.0
"""A cron that fails is tried again after a minute, twice as long each time, at most an hour."""
_DAY = 86400.0
PARKED_SECONDS = 3600.0
"""So long it is believed that Moodle leaves a task alone; then a run finds it out anew."""


class Outcome(StrEnum):
    """How a run of a site's cron ended."""

    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"
    STOPPED = "stopped"
    """Somebody needed the site for something else, or the worker was ended."""
    LOST = "lost"
    """The process that watched it was killed."""


@dataclass(frozen=True)
class Look:
    """What a site's database says: tasks that are due, who was there, what stands against a run.

    `signature` changes with whatever decides which tasks Moodle leaves alone.
    """

    due: int = 0
    adhoc: int = 0
    oldest: float | None = None
    """Since when the oldest ad hoc task waits."""
    fail_delays: int = 0
    last_access: float | None = None
    signature: str = ""
    left_alone: tuple[str, ...] = ()
    """Tasks that the last whole run passed over."""
    saw_whole_run: bool = True
    """Whether the database is the one in which that run was."""
    obstacle: str = ""
    excused: bool = False
    """Whether somebody has chosen that it is not run: it does not wait then."""


@dataclass(frozen=True)
class Standing:
    """How the cron of one site stands."""

    site_id: int
    shortname: str
    server_id: int
    since: float
    """When it was first known."""
    tier: str = ""
    looked: float | None = None
    served: float | None = None
    """When nothing was left to do last: a run began that went well, or a look found nothing due."""
    started: float | None = None
    whole: float | None = None
    """When cron.php began last; a run of ad hoc tasks alone is none."""
    complete: float | None = None
    """When the last run of cron.php began that tried all that was due."""
    ended: float | None = None
    seconds: float = 0.0
    due: int = 0
    adhoc: int = 0
    oldest: float | None = None
    fail_delays: int = 0
    obstacle: str = ""
    failures: int = 0
    """How many runs in a row did not go well."""
    not_before: float = 0.0
    error: str = ""
    runs: int = 0
    failed: int = 0
    parked: tuple[str, ...] = ()
    """Classes of tasks that stay due because Moodle leaves them alone: their plugin is disabled."""
    parked_at: float | None = None
    parked_under: str = ""
    signature: str = ""
    """What the site said of its plugins when it was looked at last."""
    worst: float = 0.0
    """The longest that the site waited within a day before `worst_at`, or since."""
    worst_at: float = 0.0
    running: bool = False
    here: bool = True
    """Whether it is this node that runs it."""

    def waits(self, now: float) -> float:
        """Return for how many seconds nobody has seen to the site."""
        return max(0.0, now - _believed(self.served, now, self.since))

    @property
    def learns(self) -> bool:
        """Tell whether a whole run has ended since it was learnt what Moodle leaves alone."""
        return self.complete is not None and (
            self.parked_at is None or self.complete > self.parked_at
        )

    def parked_at_moment(self, now: float, signature: str) -> tuple[str, ...]:
        """Return the tasks that are no reason for a run, the site's plugins being as they are."""
        fresh = self.parked_at is not None and 0 <= now - self.parked_at < PARKED_SECONDS
        return self.parked if fresh and signature == self.parked_under else ()

    def after_look(self, look: Look, tier: str, now: float) -> Standing:
        """Return the standing when a look has answered."""
        nothing = not look.due and not look.adhoc and not look.obstacle and not self.failures
        learnt = self
        # Where plugins were changed since the look before that run, it is learnt from the next one.
        if self.learns and look.saw_whole_run and look.signature == self.signature:
            learnt = replace(
                self, parked=look.left_alone, parked_at=now, parked_under=look.signature
            )
        return replace(
            learnt, tier=tier, looked=now, due=look.due, adhoc=look.adhoc, oldest=look.oldest,
            fail_delays=look.fail_delays, obstacle=look.obstacle, signature=look.signature,
            served=now if nothing or look.excused else self.served,
        )  # fmt: skip

    def after_start(self, now: float, *, whole: bool) -> Standing:
        """Return the standing when a run has begun, of all tasks or of ad hoc ones alone."""
        waited, worst, worst_at = self.waits(now), self.worst, self.worst_at
        if waited >= worst or not 0 <= now - worst_at < _DAY:
            worst, worst_at = waited, now
        return replace(
            self, started=now, whole=now if whole else self.whole, running=True, here=True,
            runs=self.runs + 1, worst=worst, worst_at=worst_at,
        )  # fmt: skip

    def after_end(
        self, outcome: Outcome, error: str, seconds: float, now: float, *, cut: bool = False
    ) -> Standing:
        """Return the standing when a run has ended; only one that went well has served the site.

        `cut` says that Moodle itself stopped before it had tried everything.
        """
        done = replace(self, ended=now, seconds=seconds, running=False)
        if outcome is Outcome.OK:
            whole = self.whole == self.started
            due = 0 if whole else self.due
            return replace(
                done, served=self.served if due else self.started, failures=0, not_before=0.0,
                complete=self.started if whole and not cut else self.complete,
                error="", due=due, adhoc=0, oldest=None,
            )  # fmt: skip
        if outcome in (Outcome.STOPPED, Outcome.LOST):
            return replace(done, error=error)
        wait = min(LONGEST_BACKOFF, BACKOFF * 2 ** min(self.failures, 10))
        return replace(
            done, failures=self.failures + 1, failed=self.failed + 1, error=error,
            not_before=now + wait,
        )  # fmt: skip


def is_over(moment: float | None, now: float) -> bool:
    """Tell whether a moment may be believed to be in the past."""
    return moment is not None and moment <= now


def _believed(moment: float | None, now: float, otherwise: float) -> float:
    return moment if moment is not None and moment <= now else min(otherwise, now)
