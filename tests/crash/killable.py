"""A server of short-lived executors: each is a fork that executes operations and may be killed.

Reads one JSON command a line, answers with one. The process itself opens nothing, so that a fork
begins as a fresh `vmoodle worker` does, without 0.7 s of imports.

{"do": "call", "name": "move", "args": [...]}    order an operation; answers its id
{"do": "work", "die": "KIND/STEP:MOMENT"}        execute until idle, or until that moment: before or
                                                 after its act, undo or undone, or amid: as the act
                                                 comes to drop a database, to upgrade one or to
                                                 copy files for an upgrade again; at refreshed
                                                 nothing dies: before its act `base` is captured
                                                 anew, by an operation beside this one
{"do": "work", "seconds": 0.2, "victims": V}     … until the executor, its clients or all are killed
{"do": "work", "stops": PID}                     … and end that database server as the first client
                                                 program is to run
{"do": "look", "operation": ID}                  state and error of an operation, doctor's findings
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from dbos import Queue
from django.db import connections

from vmoodle.installation import open_installation

# DBOS looks once a second for what is to be resumed: there are hundreds of resumptions here.
Queue.__init__.__kwdefaults__["polling_interval_sec"] = 0.05

installation = open_installation()
connections.close_all()

from vmoodle.doctor.examination import examine  # noqa: E402
from vmoodle.engines.clients import Client  # noqa: E402
from vmoodle.lifecycle import delete, move, resources, scratch_copy, suspend  # noqa: E402
from vmoodle.lifecycle.adopt import adopt  # noqa: E402
from vmoodle.lifecycle.adopt.request import AdoptRequest  # noqa: E402
from vmoodle.lifecycle.create import deploy  # noqa: E402
from vmoodle.lifecycle.create.request import SiteRequest  # noqa: E402
from vmoodle.lifecycle.create.settings import NewSettings  # noqa: E402
from vmoodle.lifecycle.kinds import KINDS  # noqa: E402
from vmoodle.lifecycle.snapshot import drill, restore, snapshot  # noqa: E402
from vmoodle.lifecycle.snapshot import run as snapshot_run  # noqa: E402
from vmoodle.lifecycle.template import archive_import as template_import  # noqa: E402
from vmoodle.lifecycle.template import refresh as template_refresh  # noqa: E402
from vmoodle.lifecycle.template import template, warm  # noqa: E402
from vmoodle.lifecycle.template import upgrade as template_upgrade  # noqa: E402
from vmoodle.lifecycle.upgrade import back as upgrade_back  # noqa: E402
from vmoodle.lifecycle.upgrade import rehearsal, rehearsal_order, waves  # noqa: E402
from vmoodle.lifecycle.upgrade import site as site_upgrade  # noqa: E402
from vmoodle.operations.decide import revert  # noqa: E402
from vmoodle.operations.follow import work  # noqa: E402
from vmoodle.operations.plan import Kinds, Step, StepContext, StepFunction  # noqa: E402
from vmoodle.registry import operations, owners, sites  # noqa: E402


def end(name: str) -> Any:
    """Order the deletion of a site, suspended first where it is not."""
    if sites.find(name).state == "enabled":
        suspend.suspend(installation, name)
    return delete.submit(installation, name, typed=name)


def order_waves(codebase: str, *names: str) -> Any:
    """Order the upgrade of sites one after the other; return the operation of the first."""
    upgrade = waves.submit(
        installation, codebase, names, waves.Waves(in_parallel=1), target=",".join(names)
    )
    return operations.find(upgrade.sites.get(position=0).operation_id)


def order_rehearsal(codebase: str, name: str) -> Any:
    """Order the rehearsal of a site's upgrade."""
    (ordered,) = rehearsal_order.submit_each(installation, codebase, [name], timeout=600).values()
    if isinstance(ordered, Exception):
        raise ordered
    return ordered


ORDERS: dict[str, Callable[..., Any]] = {
    "deploy": lambda name, source: deploy.submit(
        installation, SiteRequest(name, f"http://{name}.example.test"), source
    ),
    "deploy with settings": lambda name, source, config: deploy.submit(
        installation,
        SiteRequest(name, f"http://{name}.example.test", settings=NewSettings(config)),
        source,
    ),
    "adopt": lambda name, config: adopt.submit(
        installation, AdoptRequest(name), Path(config), take_ownership=True, typed=name
    ),
    "move": lambda name, url: move.submit(installation, name, url),
    "capture": lambda name, source: template.create(installation, name, f"site:{source}"),
    "drop": lambda name: template.delete(installation, name, typed=name),
    "keep": lambda name, count: warm.keep(installation, name, count),
    "snapshot": lambda name: snapshot.submit(installation, name),
    "restore": lambda identity, name: restore.submit(
        installation, identity, typed=name, shortname=name
    ),
    "import": lambda path, name: template_import.submit(installation, Path(path), name=name),
    "refresh": lambda name: template_refresh.submit(installation, name),
    "upgrade": lambda name, codebase: template_upgrade.submit(installation, name, codebase),
    "waves": order_waves,
    "rehearse": order_rehearsal,
    "back": lambda name: upgrade_back.submit(installation, name, typed=name),
    "end": end,
    "run": lambda due: snapshot_run.submit(installation, due),
    "drill": lambda identity: drill.submit(installation, identity),
    "cancel": operations.cancel,
    "revert": lambda identity: revert(KINDS, identity),
}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def half_upgraded(*_arguments: Any, site: str, **_words: Any) -> None:
    """Write something into the database of the site that is upgraded, and die."""
    row = sites.find(site)
    engine, database = installation.engine(row.server), installation.site_database(row)
    with engine.connect(database, read_only=False) as connection:
        connection.execute("INSERT INTO {config} (name, value) VALUES ('half', 'done')")
    die()


def half_rehearsed(*_arguments: Any, site: str, **_words: Any) -> None:
    """Write something into the database of the copy that is upgraded, and die."""
    (operation,) = owners.rehearsals()
    copy = scratch_copy.scratch_site(installation, operation)
    assert copy.shortname == site
    engine, database = installation.engine(copy.server), installation.site_database(copy)
    with engine.connect(database, read_only=False) as connection:
        connection.execute("INSERT INTO {config} (name, value) VALUES ('half', 'done')")
    die()


def refreshed() -> None:
    """Capture the template anew, beside the operation that is under way."""
    row = template_refresh.submit(installation, "base")
    while not operations.is_finished(row.id):
        time.sleep(0.02)


def deadly(step: Step, moment: str, flag: str) -> Step:
    def wrapped(function: StepFunction, before: str, after: str) -> StepFunction:
        def act(context: StepContext) -> None:
            if moment == before:
                die()
            if flag and before == "before":
                with open(flag, "w"):  # noqa: PTH123  says that the step has begun
                    pass
            if before == "before" and moment == "amid":
                resources.drop_database = lambda *_arguments: die()
                template_upgrade.upgrade_site = lambda *_arguments, **_words: die()
                site_upgrade.upgrade_site = half_upgraded
                rehearsal.upgrade_site = half_rehearsed
                template_refresh.copy_files = lambda *_arguments: die()
            if before == "before" and moment == "refreshed":
                refreshed()
            function(context)
            if moment == after:
                die()

        return act

    undo = wrapped(step.undo, "undo", "undone") if step.undo else None
    return dataclasses.replace(step, act=wrapped(step.act, "before", "after"), undo=undo)


def deadly_kinds(where: str, flag: str) -> Kinds:
    """Return all kinds, one of whose steps kills the process or touches a file."""
    kind_name, _slash, rest = where.partition("/")
    step_name, _colon, moment = rest.partition(":")
    kinds = dict(KINDS)
    if kind_name:
        kind = kinds[kind_name]
        steps = tuple(
            deadly(step, moment, flag) if step.name == step_name else step for step in kind.steps
        )
        assert steps != kind.steps, where
        kinds[kind_name] = dataclasses.replace(kind, steps=steps)
    return kinds


def in_fork(
    function: Callable[[], Any], after_start: Callable[[int, int], None] | None = None
) -> Any:
    """Return what the function returns in a fork, {"killed": true} when the fork was killed."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.close(reader)
        try:
            answer = json.dumps(function())
        except BaseException:  # noqa: BLE001  the parent is told
            answer = json.dumps({"failed": traceback.format_exc()})
        with contextlib.suppress(OSError):
            os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    if after_start:
        after_start(pid, reader)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    _pid, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return {"killed": True}
    return json.loads(said)


def killer(seconds: float, victims: str) -> Callable[[int, int], None]:
    """Return what kills a fork, all of its process group, or its children alone, after a while."""

    def kill(pid: int, pipe: int) -> None:
        if select.select([pipe], [], [], seconds)[0]:
            return  # it has ended
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if victims == "executor":
                os.kill(pid, signal.SIGKILL)
                return
            children = psutil.Process(pid).children(recursive=True)
            if victims == "all":
                os.kill(pid, signal.SIGKILL)
            for child in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()

    return kill


def stop_amid(pid: int) -> None:
    """Let a client program find that its server has just ended."""
    run = Client.run

    def deserted(client: Client, **streams: Any) -> None:
        server = psutil.Process(pid)
        server.terminate()
        while server.is_running() and server.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.02)
        run(client, **streams)

    Client.run = deserted  # type: ignore[method-assign]


def executed(command: dict[str, Any]) -> Any:
    if "stops" in command:
        stop_amid(command["stops"])
    kinds = deadly_kinds(command.get("die", ""), command.get("flag", ""))
    while not work(installation, kinds, until_idle=True):
        time.sleep(0.02)  # the one that was killed has not let go of the node yet
    return {"killed": False}


def look(command: dict[str, Any]) -> Any:
    row = operations.find(command["operation"])
    return {
        "state": row.state,
        "code": row.error_code,
        "error": row.error_message,
        "step": row.step,
        "doctor": [f"{found.check} {found.message}" for found in examine(installation)],
    }


def answer(command: dict[str, Any]) -> Any:
    if command["do"] == "call":
        return in_fork(lambda: ORDERS[command["name"]](*command["args"]).id)
    if command["do"] == "look":
        return in_fork(lambda: look(command))
    victims = command.get("victims")
    kill = killer(command["seconds"], victims) if victims else None
    return in_fork(lambda: executed(command), kill)


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
