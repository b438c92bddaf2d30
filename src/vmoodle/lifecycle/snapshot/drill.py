"""Drill a snapshot: restore it to scratch, boot it, log in, drop it all, and date its badge.

Everything comes from the store alone: a file that the site still has proves nothing about the
snapshot. A drill whose snapshot is at fault says so in the badge and fails.
"""

from __future__ import annotations

import secrets

from django.db import transaction

from vmoodle.errors import Conflict, Failed, Refused, Unavailable, VMoodleError
from vmoodle.hook.address import parse_wwwroot
from vmoodle.hook.check import check_site
from vmoodle.hook.login import log_in
from vmoodle.installation import Installation
from vmoodle.lifecycle import code_cache, dataroot, resources, scratch_copy, scratch_steps
from vmoodle.lifecycle.copy import identity
from vmoodle.lifecycle.copy.files import missing_files, say_missing
from vmoodle.lifecycle.copy.sources import SnapshotSource
from vmoodle.lifecycle.prove import first_fault
from vmoodle.lifecycle.resources import Holdings
from vmoodle.lifecycle.server import check_engine
from vmoodle.lifecycle.stored import (
    fetch_files,
    load_database,
    open_snapshots,
    refuse_unfit_snapshot,
    require_whole,
)
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.code.versions import all_versions_hash
from vmoodle.moodle.database import contents
from vmoodle.moodle.php.server import PhpServer
from vmoodle.operations.plan import OperationKind, Step, StepContext, StepFunction
from vmoodle.registry import audit, codebases, operations, owners, servers, snapshots
from vmoodle.registry.models import Codebase, Operation, Snapshot
from vmoodle.registry.source_names import SourceKind
from vmoodle.secret import generate_password
from vmoodle.store.manifest import Manifest

KIND = "snapshot.drill"
# Errors of other classes than Failed by which a restored database shows that it is no whole site.
_FAULTS_OF_THE_SNAPSHOT = ("identity.config", "identity.value.long", "engine.sql")


def submit(
    installation: Installation, snapshot_id: str, *, codebase: str = "", server: str = ""
) -> Operation:
    """Queue the drill of a snapshot.

    Raise NotFound, Conflict for one that is not whole or drilled just now, Failed for one whose
    manifest is damaged, Refused where no codebase has its versions or no server its engine,
    Unavailable for too little disk or a server that does not answer.
    """
    row = snapshots.usable(snapshot_id)
    store = open_snapshots(installation)
    try:
        manifest = store.read_manifest(row.id)
    except Failed as error:
        snapshots.drilled(row.id, fault=error.message)
        raise
    facts = SnapshotSource(installation, row.id).facts()
    chosen = servers.find(server) if server else facts.server
    tree = _fitting(manifest, codebases.find(codebase) if codebase else None, facts.codebase)
    refuse_unfit_snapshot(manifest, chosen.engine, tree.version)
    base = installation.dataroot_base
    dataroot.refuse_unsafe_base(installation, base)
    dataroot.refuse_full(
        base, dataroot.FREE_BYTES_NEEDED + 2 * row.database_bytes + row.files_bytes
    )
    check_engine(installation.engine(chosen))
    mark = secrets.token_hex(6)
    with transaction.atomic():
        snapshots.usable(row.id)
        operation = operations.submit(
            KIND,
            site=scratch_copy.subject(owners.DRILL, row.id),
            parameters={
                "snapshot": row.id,
                "source": SourceKind.SNAPSHOT.named(row.id),
                "codebase": tree.name,
                "server": chosen.name,
                "database": f"{installation.settings.sites.database_prefix}d_{mark}",
                "directory": str(base / f".drill-{mark}"),
                "prefix": manifest.prefix,
                "mark": mark,
            },
            node=installation.node,
            secret_encrypted=installation.encrypt(generate_password(32)),
        )
    audit.record(KIND, row.id, outcome="submitted", operation=operation.id)
    return operation


def _fitting(manifest: Manifest, named: Codebase | None, first: str) -> Codebase:
    """Return a codebase that has the very versions the snapshot is at."""
    known = [named] if named else sorted(codebases.every(), key=lambda row: row.name != first)
    for row in known:
        try:
            versions = all_versions_hash(MoodleTree.open(row.path))
        except VMoodleError:
            continue  # a tree that is gone or damaged is `codebase check`'s to report
        if versions == manifest.moodle.component_hash:
            return row
    raise Refused(
        "snapshot.drill.codebase",
        f"The snapshot {manifest.id} is at Moodle {manifest.moodle.release}; no codebase "
        "has its versions of core and plugins, so nothing can run it as it is.",
        "`vmoodle codebase add` a tree of those versions, or drill a newer snapshot.",
    )


def _make_account(context: StepContext, holdings: Holdings) -> None:
    if not holdings.database.password:
        raise Conflict(
            "snapshot.drill.over",
            "The drill was over and its password is gone; it cannot be tried again.",
            f"vmoodle operation revert {context.operation_id}, then drill the snapshot anew.",
        )
    resources.make_account(context, holdings)


def _judging(function: StepFunction) -> StepFunction:
    """Return a step that, where the snapshot is at fault, says so in its badge and fails.

    A server, a disk or a program that does not answer says nothing about the snapshot: the server
    is asked before the verdict. Raise Unavailable where it does not answer, and there is none.
    """

    def act(context: StepContext) -> None:
        try:
            function(context)
        except VMoodleError as error:
            if isinstance(error, Failed) or error.code in _FAULTS_OF_THE_SNAPSHOT:
                # A client or a page whose server went away fails as with a bad database.
                check_engine(context.installation.engine(scratch_steps.copy_of(context).server))
                snapshots.drilled(_row(context).id, fault=error.message)
                audit.record(
                    KIND, _row(context).id, outcome="failed", operation=context.operation_id
                )
            raise

    return act


def _row(context: StepContext) -> Snapshot:
    return snapshots.find(str(context.parameters["snapshot"]))


def _manifest(context: StepContext) -> Manifest:
    return open_snapshots(context.installation).read_manifest(_row(context).id)


def _require(context: StepContext) -> None:
    """Find what the store lacks before anything is made; what is damaged shows when it is read."""
    store = open_snapshots(context.installation)
    require_whole(store.verify(_manifest(context), read=False), _row(context).id)


def _database(context: StepContext) -> None:
    copy, manifest = scratch_steps.copy_of(context), _manifest(context)
    resources.copy_database(
        context,
        scratch_steps.holdings_of(context),
        lambda _engine, database: load_database(
            context.installation, manifest, copy.server, database
        ),
    )


def _files(context: StepContext) -> None:
    holdings = scratch_steps.holdings_of(context)
    dataroot.make(context, holdings)
    try:
        said = fetch_files(context.installation, _manifest(context), holdings.directory)
    except OSError as error:
        raise Unavailable(
            "dataroot.copy",
            f"The files could not be put into {holdings.directory}: {error.strerror}.",
            "Free space there.",
        ) from error
    context.say(said)
    lacking = missing_files(context.installation, holdings)
    if lacking and not contents.stored(holdings.directory / "filedir"):
        raise _failed("Its database names files, and the snapshot has none of them.")
    say_missing(lacking, context.say)
    snapshots.lacks(_row(context).id, len(lacking))


def _identity(context: StepContext) -> None:
    """Give the copy an address and an administrator of its own, before PHP ever runs on it."""
    installation, copy, manifest = (
        context.installation,
        scratch_steps.copy_of(context),
        _manifest(context),
    )
    engine = installation.engine(copy.server)
    with engine.connect(installation.site_database(copy)) as connection:
        rows = connection.query("SELECT fullname FROM {course} WHERE category = 0")
    if not rows:
        raise Failed(
            "snapshot.drill.failed",
            f"The database of the snapshot {manifest.id} has no front page.",
            "Take another snapshot, and look at the site itself.",
        )
    name = str(rows[0][0])
    # Moodle shows a name in several languages in one of them.
    copy.name = manifest.site.name if "<" in name else name
    context.keep({"name": copy.name})
    said = identity.take_on(
        installation,
        copy,
        from_wwwroot=manifest.site.wwwroot,
        rewrite_content=True,
        admin_password=installation.keyring.decrypt(copy.password_encrypted),
        policy_name="",
    )
    context.say(said.partition(";")[0])


def _look(context: StepContext) -> None:
    """Boot the copy on a private server, look at its front page and log in."""
    installation, copy, row = context.installation, scratch_steps.copy_of(context), _row(context)
    address = parse_wwwroot(copy.wwwroot)
    log = installation.home.log / f"drill-{row.site_shortname}.log"
    log.unlink(missing_ok=True)
    with PhpServer(
        MoodleTree.open(copy.codebase.path),
        installation.php,
        log=log,
        proved_scheme="http",
        compiled=code_cache.directory(installation, copy.codebase),
    ) as server:
        target = (server.host, server.port)
        answer = check_site(address, connect_to=target, expected_name=copy.name)
        if not answer.status:
            raise Unavailable(
                "snapshot.drill.unanswered",
                f"The private server of the drill gave {answer.summary()}. {first_fault(log)}",
                f"Its log says more: {log}. Nothing is said of the snapshot.",
            )
        if not answer.seen_name:
            raise _failed(
                f"The front page does not show the site's name: {answer.summary()}. "
                f"{first_fault(log)}".rstrip()
            )
        context.say(f"front page: {answer.summary()}")
        password = installation.keyring.decrypt(copy.password_encrypted)
        fault = log_in(address, copy.admin_user, password, connect_to=target)
    if fault:
        raise _failed(f"Its administrator cannot log in: {fault}. {first_fault(log)}".rstrip())
    context.say("an administrator logged in")
    log.unlink(missing_ok=True)
    snapshots.drilled(row.id)


def _failed(said: str) -> Failed:
    return Failed(
        "snapshot.drill.failed",
        said,
        "The snapshot restores, but what it restores does not work: look at the site itself, and "
        "keep older snapshots.",
    )


def _finish(context: StepContext) -> None:
    context.keep({"snapshot": _row(context).id})
    audit.record(KIND, _row(context).id, operation=context.operation_id)
    operations.take_secret(context.operation_id)


DRILL = OperationKind(
    KIND,
    "drill a snapshot",
    (
        Step("contents", "see that the store has all of it", _judging(_require)),
        Step(
            "account",
            "create a database account",
            scratch_steps.with_holdings(_make_account),
            scratch_steps.with_holdings(resources.drop_account),
        ),
        Step(
            "database",
            "load the database",
            _judging(_database),
            scratch_steps.with_holdings(resources.drop_database),
        ),
        Step(
            "files",
            "fetch the files",
            _judging(_files),
            scratch_steps.with_holdings(dataroot.destroy),
        ),
        Step("identity", "give the copy an address of its own", _judging(_identity)),
        Step("publish", "let PHP find the copy", scratch_steps.let_find, scratch_steps.withdraw),
        Step("look", "look at the front page and log in", _judging(_look)),
        Step("withdraw", "let nobody find the copy any more", scratch_steps.withdraw),
        Step("drop", "drop the copy", scratch_steps.drop),
        Step("finish", "write it down", _finish),
    ),
    when_reverted="What was restored to scratch is dropped.",
)
