"""A registry on PostgreSQL, where several transactions are open at once: a site has one holder."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from tests import servers
from tests.registry_sites import enter_sites
from tests.servers import wait_until

from vmoodle.errors import Conflict
from vmoodle.installation import Installation, open_installation


@pytest.fixture
def on_postgresql(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Installation]:
    """An installation whose registry is a real PostgreSQL's, for the length of a test."""
    servers.require("postgresql")
    from django.db import connections

    from vmoodle.registry.django_setup import configuration
    from vmoodle.secret import Secret

    directory = Path(tempfile.mkdtemp(prefix="vmoodle-registry-"))
    directory.chmod(0o755)
    before = connections.settings["default"]
    with servers.private_postgresql(directory / "server") as server:
        with psycopg.connect(f"{server.url.rstrip('/')}/postgres", autocommit=True) as first:
            # One that sorts as people do, as most servers' databases.
            first.execute(
                "CREATE DATABASE registry TEMPLATE template0"
                " LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C.UTF-8'"
            )
        url = f"{server.url.rstrip('/')}/registry"
        monkeypatch.setenv("VMOODLE_REGISTRY__URL", url)
        databases = configuration(directory / "none", Secret(url))["DATABASES"]
        _registry_is(connections.configure_settings(databases)["default"])
        try:
            yield open_installation()
        finally:
            _registry_is(before)
    shutil.rmtree(directory, ignore_errors=True)


def _registry_is(settings: dict[str, object]) -> None:
    from django.db import connections

    connections["default"].close()
    connections.settings["default"] = settings
    del connections["default"]


def run_on(site_id: int, shortname: str) -> str:
    """Write a run down that is to change a site, and return its id."""
    from vmoodle.registry import runs

    values = {
        "command": "tests.write", "effect": "writes", "target": shortname, "timeout": 1,
        "node": "here",
    }  # fmt: skip
    return runs.create(values, [(site_id, shortname)], {}, as_operation=False).id


def begin(run_id: str) -> Conflict | None:
    """Let a run begin on its site; return why it may not."""
    from vmoodle.registry import runs

    return runs.begun(run_id, [7]).get(7)


def submit() -> Conflict | None:
    """Queue an operation on the site; return why it may not be."""
    from vmoodle.registry import operations

    try:
        operations.submit("site.move", site="school", node="here")
    except Conflict as refused:
        return refused
    return None


def in_open_transactions(
    first: Callable[[], Conflict | None], second: Callable[[], Conflict | None]
) -> list[Conflict | None]:
    """Do the second while the transaction of the first is still open; return what came of both."""
    from django.db import connection, connections, transaction

    came: list[Conflict | None] = []
    ended = threading.Event()

    def in_a_thread() -> None:
        try:
            with transaction.atomic():
                came.append(second())
        finally:
            ended.set()
            connections.close_all()

    thread = threading.Thread(target=in_a_thread)

    def waits() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM pg_locks WHERE NOT granted")
            return ended.is_set() or bool(cursor.fetchone()[0])

    with transaction.atomic():
        came.append(first())
        thread.start()
        wait_until(waits, "the second to wait for the first, or to have passed")
    thread.join()
    return came


def test_a_run_and_an_operation_that_meet_on_a_site_do_not_both_take_it(
    on_postgresql: Installation,
) -> None:
    run = run_on(7, "school")
    free, refused = in_open_transactions(lambda: begin(run), submit)
    assert free is None
    assert refused is not None
    assert refused.code == "run.site.busy"


def test_an_operation_that_is_queued_first_keeps_a_run_off(on_postgresql: Installation) -> None:
    run = run_on(7, "school")
    free, refused = in_open_transactions(submit, lambda: begin(run))
    assert free is None
    assert refused is not None
    assert refused.code == "operation.site.busy"


def test_of_two_runs_that_meet_on_a_site_one_changes_it(on_postgresql: Installation) -> None:
    one, two = run_on(7, "school"), run_on(7, "school")
    free, refused = in_open_transactions(lambda: begin(one), lambda: begin(two))
    assert free is None
    assert refused is not None
    assert refused.code == "run.site.busy"


def test_what_php_prints_with_nul_in_it_ends_an_operation_like_any_other_error(
    on_postgresql: Installation,
) -> None:
    from vmoodle.errors import Failed
    from vmoodle.operations.plan import OperationKind, Step, StepContext
    from vmoodle.operations.workflow import GO_BACK, Runner
    from vmoodle.registry import audit, operations

    def fail(context: StepContext) -> None:
        context.say("PHP said \0")
        context.keep({"said": ["\0"]})
        raise Failed("toy.failed", "It ended: \0", "Its \0 last line")

    kinds = {"toy": OperationKind("toy", "a toy", (Step("one", "one", fail, fail),))}
    operation = operations.submit("toy", site="school", node="here").id
    assert Runner(on_postgresql, kinds).forwards(operation, "one", 0) == GO_BACK
    row = operations.find(operation)
    assert (row.error_message, row.error_hint) == ("It ended: �", "Its � last line")
    assert row.result == {"said": ["�"]}
    audit.record("toy", "school", said="\0")


def test_a_cron_that_prints_nul_ends_and_its_site_is_free_again(
    on_postgresql: Installation,
) -> None:
    from vmoodle.registry import cron

    (site_id,) = enter_sites(1).values()
    cron.enter_new(0.0)
    (row,) = cron.standings()
    lease = cron.Lease(site_id, "s0", "run", "holder", "node", 0, stop_requested=False)
    facts = {
        "strategy": "due", "tier": "active", "script": "cron.php", "waited": 1.0, "started": 1.0
    }  # fmt: skip
    begun = row | {"started": 1.0}
    assert cron.begin(
        lease, facts, begun, last_started=None, server_id=row["server_id"], per_server=1
    )
    cron.end(site_id, "run", begun | {"error": "x\0"}, {"outcome": "failed", "error": "x\0"})
    assert cron.leases() == [] and cron.find_run("run").error == "x\N{REPLACEMENT CHARACTER}"


def test_two_runs_are_compared_whatever_order_the_database_has(
    on_postgresql: Installation,
) -> None:
    from vmoodle.fleet.runs.diff import differences
    from vmoodle.registry import runs

    values = {"command": "c", "effect": "reads", "target": "*", "timeout": 1, "node": "here"}
    before, after = (
        runs.create(values, list(enumerate(names, 1)), {}, as_operation=False)
        for names in (["a_b", "a-b", "ab"], ["a-b", "aB", "ab"])
    )
    changes = [(row["site"], row["change"]) for row in differences(before, after)]
    assert changes == [("aB", "new"), ("a_b", "gone")]
