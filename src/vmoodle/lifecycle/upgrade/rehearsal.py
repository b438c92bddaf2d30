"""Rehearse an upgrade: a sanitised copy of a site is upgraded by Moodle, looked at, and dropped.

The site serves on and is only read. What came of it is kept in the registry, whatever that is: a
failure of the upgrade itself is a verdict, one of a disk or a server says nothing of it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmoodle.errors import Conflict, Failed, Unavailable
from vmoodle.hook.address import parse_wwwroot
from vmoodle.hook.check import check_site
from vmoodle.hook.login import log_in
from vmoodle.lifecycle import code_cache, dataroot, resources, scratch_steps
from vmoodle.lifecycle.copy import identity
from vmoodle.lifecycle.copy.sources import SiteSource, refuse_changed
from vmoodle.lifecycle.lost import connected
from vmoodle.lifecycle.prove import first_fault
from vmoodle.lifecycle.server import check_engine
from vmoodle.lifecycle.upgrade import smoke
from vmoodle.lifecycle.upgrade.rehearsal_order import KIND
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.code.versions import all_versions_hash
from vmoodle.moodle.database.table_states import TableState, changes, read_table_states
from vmoodle.moodle.php.server import PhpServer
from vmoodle.moodle.scripts.upgrade import Parts, upgrade_site
from vmoodle.operations.plan import OperationKind, Step, StepContext, StepFunction
from vmoodle.registry import audit, codebases, operations, rehearsals, sites
from vmoodle.registry.models import Site
from vmoodle.registry.rehearsal_models import Rehearsal, RehearsalState
from vmoodle.registry.text import kept_error

POLICY = "staging"
"""Nothing leaves the copy; people and their data stay, so that there is as much to upgrade."""

_JUDGES = ("upgrade", "look")
"""The steps whose failure is the upgrade's."""


def _results(context: StepContext) -> dict[str, Any]:
    return dict(operations.find(context.operation_id).result)


def _step(name: str, title: str, act: StepFunction, *undo: StepFunction) -> Step:
    """Return a step that notes how long it took or, where it fails, whether that is a verdict."""

    def noting(context: StepContext) -> None:
        began = time.monotonic()
        try:
            act(context)
        except Exception as error:
            context.keep({"failed_step": name})
            if name in _JUDGES and isinstance(error, Failed):
                # Without its server PHP fails as with a bad upgrade: that is the error then.
                check_engine(context.installation.engine(scratch_steps.copy_of(context).server))
                context.keep({"verdict": True})
            raise
        taken = round((time.monotonic() - began) * 1000)
        steps = dict(_results(context).get("steps", {}))
        # One that was done already when its executor was killed has nothing to do the next time.
        context.keep({"steps": steps | {name: max(taken, steps.get(name, 0))}})

    return Step(name, title, noting, *undo)


def _check(context: StepContext) -> None:
    """See that the site is still what it was when the rehearsal was ordered."""
    site = sites.find(str(context.parameters["site"]))
    refuse_changed(str(context.parameters["source"]), context.parameters)
    _refuse_changed_code(context)
    # The copy shows the name on its front page; the rest is of an attempt before.
    context.keep({"name": site.name, "upgrade": "", "failed_step": "", "verdict": False})


def _refuse_changed_code(context: StepContext) -> None:
    """Raise Conflict unless the codebase has the versions that the rehearsal was ordered for."""
    codebase = codebases.find(str(context.parameters["codebase"]))
    ordered = rehearsals.of_operation(context.operation_id).target_hash
    if all_versions_hash(MoodleTree.open(Path(codebase.path))) != ordered:
        raise Conflict(
            "upgrade.rehearsal.changed",
            f"The codebase {codebase.name} has changed since the rehearsal was ordered.",
            "Order it again.",
        )


def _database(context: StepContext) -> None:
    source = SiteSource(context.installation, str(context.parameters["site"]))
    holdings = scratch_steps.holdings_of(context)
    resources.copy_database(
        context,
        holdings,
        lambda _engine, database: source.copy_database(database, holdings.server),
    )


def _files(context: StepContext) -> None:
    source = SiteSource(context.installation, str(context.parameters["site"]))
    holdings = scratch_steps.holdings_of(context)
    dataroot.make(context, holdings)
    context.say(source.copy_files(holdings.directory))


def _identity(context: StepContext) -> None:
    """Make the copy harmless, before PHP ever runs on it; its content keeps the site's address."""
    installation, copy = context.installation, scratch_steps.copy_of(context)
    said = identity.take_on(
        installation,
        copy,
        from_wwwroot=str(context.parameters["wwwroot"]),
        rewrite_content=False,
        admin_password=installation.keyring.decrypt(copy.password_encrypted),
        policy_name=POLICY,
    )
    context.say(said.partition(";")[0])


def _upgrade(context: StepContext) -> None:
    """Run Moodle's upgrade on the copy, and find what it changed; after a kill, on a new copy."""
    progress = _results(context).get("upgrade")
    if progress == "done":
        return
    if progress == "begun":
        context.say("the upgrade was cut off: it begins with a new copy")
        _database(context)
        dataroot.destroy(context, scratch_steps.holdings_of(context))
        _files(context)
        _identity(context)
    context.keep({"upgrade": "begun"})
    copy = scratch_steps.copy_of(context)
    before = _states(context, copy)
    row = rehearsals.of_operation(context.operation_id)
    rehearsals.noted(row, rows=sum(state.rows for state in before.values()))
    _run(context, copy)
    _refuse_changed_code(context)
    smoke.refuse_other_versions(context.installation, copy, copy.codebase)
    touched = changes(before, _states(context, copy))
    rehearsals.noted(row, touched={name: one.as_facts() for name, one in touched.items()})
    context.say(f"it touched {len(touched)} of {len(before)} tables")
    context.keep({"upgrade": "done"})


def _states(context: StepContext, copy: Site) -> dict[str, TableState]:
    with connected(context.installation, copy) as connection:
        return read_table_states(connection)


def _run(context: StepContext, copy: Site) -> None:
    installation, limit = context.installation, float(context.parameters["timeout"])
    row, parts, began = rehearsals.of_operation(context.operation_id), Parts(), time.monotonic()
    try:
        upgrade_site(
            MoodleTree.open(Path(copy.codebase.path)),
            installation.php,
            site=copy.shortname,
            timeout=limit,
            redact=[installation.site_database(copy).password],
            tell=context.say,
            parts=parts,
            compiled=code_cache.directory(installation, copy.codebase),
        )
    except Unavailable as error:
        if error.code != "php.timeout":
            raise
        raise Failed(
            "upgrade.timeout",
            f"Moodle's upgrade of the copy did not end within {limit:g} seconds: {error.message}",
            "--timeout gives it more time, if it was still at work.",
        ) from error
    finally:
        rehearsals.noted(row, components=parts.milliseconds(), failed_component=parts.last)
    taken = round((time.monotonic() - began) * 1000)
    rehearsals.noted(row, upgrade_ms=taken, failed_component="")


def _look(context: StepContext) -> None:
    """See that the copy serves: front page, login page, an administrator who logs in, checks."""
    installation, copy = context.installation, scratch_steps.copy_of(context)
    address = parse_wwwroot(copy.wwwroot)
    log = installation.home.log / f"rehearsal-{context.parameters['site']}.log"
    log.unlink(missing_ok=True)
    with PhpServer(
        MoodleTree.open(copy.codebase.path),
        installation.php,
        log=log,
        proved_scheme="http",
        compiled=code_cache.directory(installation, copy.codebase),
    ) as server:
        place = (server.host, server.port)
        answer = check_site(address, connect_to=place, expected_name=copy.name)
        if not answer.seen_name:
            raise _unseen(f"{answer.summary()}. {first_fault(log)}".rstrip(), log)
        context.say(f"front page: {answer.summary()}")
        smoke.refuse_no_login(installation, copy, place)
        password = installation.keyring.decrypt(copy.password_encrypted)
        if fault := log_in(address, copy.admin_user, password, connect_to=place):
            raise Failed(
                "upgrade.login",
                f"After the upgrade an administrator cannot log in: {fault}. {first_fault(log)}",
                f"PHP's log says more: {log}.",
            )
    context.say("an administrator logged in")
    row = rehearsals.of_operation(context.operation_id)
    rehearsals.noted(row, checks=smoke.refuse_no_checks(installation, copy))
    log.unlink(missing_ok=True)


def _unseen(said: str, log: Path) -> Failed:
    return Failed(
        "upgrade.rehearsal.page",
        f"After the upgrade the front page does not show the site's name: {said}",
        f"PHP's log says more: {log}.",
    )


def _finish(context: StepContext) -> None:
    row = rehearsals.of_operation(context.operation_id)
    rehearsals.passed(row, _facts(_results(context)))
    context.keep({"rehearsal": row.id})
    audit.record(KIND, str(context.parameters["site"]), operation=context.operation_id)
    operations.take_secret(context.operation_id)


def _went_back(context: StepContext) -> None:
    """Write down why there is no result, or that the upgrade failed; the copy is gone by now."""
    row = rehearsals.of_operation(context.operation_id)
    if not operations.find(context.operation_id).error_code:
        # One that needed attention, and is taken back by hand, has said why already.
        if row.state == RehearsalState.RUNNING:
            rehearsals.cancelled(row)
        return
    _judge(context, row)
    context.keep({"rehearsal": row.id})
    audit.record(
        KIND,
        str(context.parameters["site"]),
        outcome="failed",
        operation=context.operation_id,
    )


def _attention(context: StepContext) -> None:
    _judge(context, rehearsals.of_operation(context.operation_id))


def _judge(context: StepContext, row: Rehearsal) -> None:
    """Write down with what it ended, and whether that says something of the upgrade."""
    operation, result = operations.find(context.operation_id), _results(context)
    ended = rehearsals.failed if result.get("verdict") else rehearsals.broken_off
    ended(row, kept_error(operation), _facts(result))


def _facts(result: Mapping[str, Any]) -> dict[str, Any]:
    steps = result.get("steps", {})
    return {
        "steps": steps,
        "copy_ms": steps.get("database"),
        "failed_step": result.get("failed_step", ""),
    }


REHEARSE = OperationKind(
    KIND,
    "rehearse an upgrade",
    (
        _step("check", "look at the site", _check, _went_back),
        _step(
            "account",
            "create a database account",
            scratch_steps.with_holdings(resources.make_account),
            scratch_steps.with_holdings(resources.drop_account),
        ),
        _step(
            "database",
            "copy the database",
            _database,
            scratch_steps.with_holdings(resources.drop_database),
        ),
        _step("files", "link the files", _files, scratch_steps.with_holdings(dataroot.destroy)),
        _step("identity", "make the copy harmless", _identity),
        _step("publish", "let PHP find the copy", scratch_steps.let_find, scratch_steps.withdraw),
        _step("upgrade", "run Moodle's upgrade on the copy", _upgrade),
        _step("look", "look at its pages, log in, run Moodle's checks", _look),
        _step("withdraw", "let nobody find the copy any more", scratch_steps.withdraw),
        _step("drop", "drop the copy", scratch_steps.drop),
        Step("finish", "write it down", _finish),
    ),
    when_reverted="The copy is gone; the site is as it was.",
    attention=_attention,
)
