r"""What is due on a site, asked by SQL in one round trip.

It is decided as \core\task\manager does (4.5, 5.1). A task whose plugin is disabled stays due for
ever: Moodle passes over it and leaves its time as it is (get_next_scheduled_task). Which these are
is told by a whole run of cron: what was due before it began, and was not run by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmoodle.engines.protocol import SiteConnection
from vmoodle.moodle.database.site_schema import marks

_DUE = (
    "disabled = 0 AND (nextruntime IS NULL OR nextruntime < %s)"
    " AND (lastruntime IS NULL OR lastruntime < %s)"
)
_WAITING = "nextruntime < %s AND timestarted IS NULL"
# Since 4.5 an ad hoc task is tried so many times only.
_ATTEMPTS = " AND (attemptsavailable IS NULL OR attemptsavailable > 0)"
_ATTEMPTS_SINCE = 405
_SETTINGS = ("cron_enabled", "version", "allversionshash", "upgraderunning")


@dataclass(frozen=True)
class Due:
    """What a site's tables say at a moment; times are Unix's.

    `scheduled` counts the tasks that are due, `besides` those that are not among the parked ones.
    `left_alone` has the classes that the last whole run passed over. `signature` changes with
    whatever may let Moodle run them.
    """

    scheduled: int
    besides: int
    left_alone: tuple[str, ...]
    saw_whole_run: bool
    adhoc: int
    oldest_adhoc: int | None
    fail_delays: int
    last_access: int | None
    signature: str
    version: str
    cron_enabled: bool
    upgrade_until: int


def ask_due(
    connection: SiteConnection,
    now: float,
    *,
    branch: int,
    parked: Sequence[str] = (),
    whole_run: float | None = None,
) -> Due:
    """Return what is due at a moment; `whole_run` is when the last whole run began, if known."""
    before = int(whole_run) if whole_run is not None else 0
    # One statement: the site is asked often.
    parts = _questions(int(now), before, branch, parked)
    sql = "SELECT " + ", ".join(f"({part})" for part, _given in parts)
    row = connection.query(sql, [value for _part, given in parts for value in given])[0]
    due, due_besides, left, adhoc, oldest, failing, failing_adhoc, access, log, visible = row[:10]
    last_cron, enabled, version, versions, until = (str(cell or "") for cell in row[10:])
    # A database that was restored since has not seen that run, and says nothing of it.
    saw_it = whole_run is not None and last_cron.isdigit() and int(last_cron) >= before
    return Due(
        scheduled=int(due),
        besides=int(due_besides),
        left_alone=_left_alone(connection, before) if saw_it and left else (),
        saw_whole_run=saw_it,
        adhoc=int(adhoc),
        oldest_adhoc=int(oldest) if oldest else None,
        fail_delays=int(failing) + int(failing_adhoc),
        last_access=int(access) if access else None,
        signature=f"{log or 0} {visible or 0} {versions}",
        version=version,
        # Who never saved it has it on (lib/db/install.php writes 1).
        cron_enabled=row[11] is None or enabled not in ("", "0"),
        upgrade_until=int(until) if until.isdigit() else 0,
    )


def _questions(
    moment: int, before: int, branch: int, parked: Sequence[str]
) -> list[tuple[str, tuple[object, ...]]]:
    """Return what is asked, in the order in which `ask_due` takes the answers, and its values."""
    waiting = _WAITING + (_ATTEMPTS if branch >= _ATTEMPTS_SINCE else "")
    besides = f" AND classname NOT IN ({marks(parked)})" if parked else ""
    return [
        (f"SELECT COUNT(*) FROM {{task_scheduled}} WHERE {_DUE}", (moment, moment)),  # noqa: S608
        (f"SELECT COUNT(*) FROM {{task_scheduled}} WHERE {_DUE}{besides}",  # noqa: S608
         (moment, moment, *parked)),
        (f"SELECT COUNT(*) FROM {{task_scheduled}} WHERE {_DUE}", (before, before)),  # noqa: S608
        (f"SELECT COUNT(*) FROM {{task_adhoc}} WHERE {waiting}", (moment,)),  # noqa: S608
        (f"SELECT MIN(nextruntime) FROM {{task_adhoc}} WHERE {waiting}", (moment,)),  # noqa: S608
        ("SELECT COUNT(*) FROM {task_scheduled} WHERE faildelay > 0 AND disabled = 0", ()),
        ("SELECT COUNT(*) FROM {task_adhoc} WHERE faildelay > 0", ()),
        ("SELECT MAX(lastaccess) FROM {user}", ()),
        ("SELECT MAX(id) FROM {config_log}", ()),
        ("SELECT SUM(visible) FROM {modules}", ()),
        ("SELECT value FROM {config_plugins} WHERE plugin = 'tool_task' AND name = %s",
         ("lastcronstart",)),
        *(("SELECT value FROM {config} WHERE name = %s", (name,)) for name in _SETTINGS),
    ]  # fmt: skip


def _left_alone(connection: SiteConnection, before: int) -> tuple[str, ...]:
    rows = connection.query(
        f"SELECT classname FROM {{task_scheduled}} WHERE {_DUE} AND timestarted IS NULL"  # noqa: S608
        " ORDER BY classname",
        (before, before),
    )
    return tuple(str(name) for (name,) in rows)
