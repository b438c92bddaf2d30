"""Changes of a site: registry and map change together, and no two callers win at once.

The sites stand in the registry and the map alone; no server answers, and none is asked.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from vmoodle.errors import Conflict, Failed, InvalidInput, Refused, Unavailable, VMoodleError
from vmoodle.installation import Installation
from vmoodle.secret import Secret

# So long is a caller waited for that may have to wait itself.
PATIENCE_SECONDS = 2


@pytest.fixture
def site(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An enabled site, published, of which the ledger says that VMoodle made it."""
    from vmoodle.lifecycle import purge

    monkeypatch.setattr(purge, "check_engine", lambda _engine: None)
    return make_site(installation, "one")


def make_site(installation: Installation, name: str) -> Any:
    from vmoodle.lifecycle.publish import publish
    from vmoodle.registry import ledger
    from vmoodle.registry.models import Codebase, DatabaseServer, Site

    codebase, _ = Codebase.objects.get_or_create(
        name="main", path="/nowhere", layout="classic", version="1", release="1", branch="405"
    )
    server, _ = DatabaseServer.objects.get_or_create(
        name="main", engine="mariadb", address="mariadb://x@127.0.0.1:1", flavour="mariadb",
        version="11", defaults={
            "url_encrypted": installation.encrypt(Secret("mariadb://x:y@127.0.0.1:1"))
        },
    )  # fmt: skip
    dataroot = installation.dataroot_base / name
    dataroot.mkdir(parents=True)
    row = Site.objects.create(
        shortname=name, name=name, wwwroot=f"http://{name}.test", address_key=f"{name}.test",
        codebase=codebase, server=server, database=f"vm_{name}", account=f"vm_{name}",
        password_encrypted=installation.encrypt(Secret("z")), table_prefix="mdl_",
        dataroot=str(dataroot), session_key=name, state="enabled", admin_user="admin",
        admin_email="a@example.test",
    )  # fmt: skip
    for kind, place, thing in (
        (ledger.DATABASE, "main", row.database), (ledger.ACCOUNT, "main", row.account),
        (ledger.DIRECTORY, "", row.dataroot),
    ):  # fmt: skip
        ledger.plan(kind, place, thing, owner=name, operation="made")
    publish(installation, row)
    return row


def published(installation: Installation, host: str) -> dict[str, Any]:
    path = installation.home.map / "web" / f"{host}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def set_state(site: Any, state: str) -> None:
    type(site).objects.filter(id=site.id).update(state=state)


def state_of(site: Any) -> str:
    return str(type(site).objects.get(id=site.id).state)


def beside(call: Callable[[], object]) -> Callable[[], list[object]]:
    """Start a call as another caller would; return a function that waits for how it ended."""
    ended: list[object] = []

    def run() -> None:
        from django.db import connections

        try:
            ended.append(call())
        except VMoodleError as error:
            ended.append(error.code)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(PATIENCE_SECONDS)

    def wait() -> list[object]:
        thread.join(60)
        return ended

    return wait


def test_a_site_resumed_after_its_deletion_was_ordered_is_not_deleted(
    installation: Installation, site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import connection

    from vmoodle.lifecycle import delete, resources, suspend

    suspend.suspend(installation, "one")
    waits = []

    def meanwhile(_site: object) -> None:
        if connection.in_atomic_block:
            waits.append(beside(lambda: suspend.resume(installation, "one")))

    monkeypatch.setattr(resources, "refuse_unproven", meanwhile)
    delete.submit(installation, "one", typed="one")
    assert waits[0]() == ["site.state"]
    assert state_of(site) == "suspended"


def test_a_deletion_ordered_while_the_site_is_resumed_is_refused(
    installation: Installation, site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vmoodle.lifecycle import delete, suspend
    from vmoodle.registry import sites
    from vmoodle.registry.models import Operation

    suspend.suspend(installation, "one")
    waits = []
    enabled = sites.enabled

    def meanwhile(row: Any) -> None:
        waits.append(beside(lambda: delete.submit(installation, "one", typed="one")))
        enabled(row)

    monkeypatch.setattr(sites, "enabled", meanwhile)
    suspend.resume(installation, "one")
    assert waits[0]() == ["site.enabled"]
    assert state_of(site) == "enabled"
    assert not Operation.objects.exists()


def test_a_site_that_needs_attention_can_be_purged_when_no_operation_has_it(
    installation: Installation, site: Any
) -> None:
    from vmoodle.lifecycle import purge
    from vmoodle.registry import ledger, operations
    from vmoodle.registry.models import Operation

    set_state(site, "needs attention")
    ledger.removed(ledger.DATABASE, "main", site.database)
    holder = operations.submit("site.purge", site="one", node="n")
    Operation.objects.filter(id=holder.id).update(state="needs attention")
    with pytest.raises(Conflict, match=holder.id):
        purge.submit(installation, "one", typed="one", now=True)
    Operation.objects.filter(id=holder.id).update(state="reverted")
    assert purge.submit(installation, "one", typed="one", now=True).state == "queued"


def test_a_deletion_changes_nothing_while_the_server_does_not_answer(
    installation: Installation, site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vmoodle.lifecycle import purge, server
    from vmoodle.operations.plan import StepContext
    from vmoodle.registry import ledger
    from vmoodle.registry.models import Operation

    set_state(site, "suspended")
    monkeypatch.setattr(purge, "check_engine", server.check_engine)
    with pytest.raises(Unavailable):
        purge.submit(installation, "one", typed="one", now=True)
    with pytest.raises(Unavailable):
        purge.PURGE.steps[0].act(
            StepContext(installation, "o", "one", {"state": "suspended"}, print, print)
        )
    assert state_of(site) == "suspended"
    assert not Operation.objects.exists()
    # What has nothing left on the server needs no answer from it.
    set_state(site, "needs attention")
    ledger.removed(ledger.DATABASE, "main", site.database)
    ledger.removed(ledger.ACCOUNT, "main", site.account)
    assert purge.submit(installation, "one", typed="one", now=True).state == "queued"


@pytest.mark.parametrize("trap", ["link", "file", "outside"])
def test_a_moodledata_that_could_not_be_removed_is_found_before_anything_is_destroyed(
    installation: Installation, site: Any, trap: str
) -> None:
    from vmoodle.lifecycle import purge
    from vmoodle.operations.plan import StepContext
    from vmoodle.registry import ledger
    from vmoodle.registry.models import Operation

    set_state(site, "suspended")
    operation = purge.submit(installation, "one", typed="one", now=True)
    context = StepContext(installation, operation.id, "one", operation.parameters, print, print)
    check = purge.PURGE.steps[0]
    check.act(context)
    path = Path(site.dataroot)
    path.rmdir()
    if trap == "link":
        path.symlink_to("/etc")
    elif trap == "file":
        path.write_text("")
    else:
        type(site).objects.filter(id=site.id).update(dataroot="/etc/one")
        ledger.removed(ledger.DIRECTORY, "", site.dataroot)
    with pytest.raises(Refused):
        check.act(context)
    Operation.objects.filter(id=operation.id).update(state="reverted")
    with pytest.raises(Refused):
        purge.submit(installation, "one", typed="one", now=True)


def test_a_directory_that_neither_the_base_nor_the_ledger_has_is_outside(
    installation: Installation, site: Any
) -> None:
    from vmoodle.lifecycle import dataroot
    from vmoodle.registry import ledger

    for path in ("/etc", f"{installation.dataroot_base}/..", f"{installation.dataroot_base}/a/b"):
        with pytest.raises(Refused, match="not below"):
            dataroot.refuse_outside(installation, Path(path))
    ledger.plan(ledger.DIRECTORY, "", "/srv/earlier-base/two", owner="two", operation="made")
    dataroot.refuse_outside(installation, Path("/srv/earlier-base/two"))


@pytest.fixture
def unreadable_page(installation: Installation) -> Installation:
    """The installation, with a page of suspended sites that cannot be read."""
    web = installation.settings.web.model_copy(update={"suspended_page": Path("/nonexistent")})
    installation.settings = installation.settings.model_copy(update={"web": web})
    return installation


def test_a_site_that_cannot_be_published_as_suspended_goes_on_serving(
    site: Any, unreadable_page: Installation
) -> None:
    from vmoodle.lifecycle import suspend
    from vmoodle.registry.models import AuditEvent

    with pytest.raises(InvalidInput, match="page"):
        suspend.suspend(unreadable_page, "one")
    assert state_of(site) == "enabled"
    assert published(unreadable_page, "one.test")["state"] == "live"
    assert not AuditEvent.objects.exists()


def test_a_change_that_cannot_be_published_is_none(
    site: Any, unreadable_page: Installation
) -> None:
    from vmoodle.lifecycle.change import SiteChanges, change
    from vmoodle.registry import sites

    with pytest.raises(InvalidInput, match="page"):
        change(unreadable_page, "one", SiteChanges(labels=["a=b"], aliases=["old.test"]))
    assert (sites.label_values(site), sites.alias_hosts(site)) == ({}, [])
    assert published(unreadable_page, "old.test") == {}


def test_a_name_that_moodle_took_is_taken_back_when_the_rest_cannot_be(
    installation: Installation, site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import connection as registry

    from vmoodle.lifecycle.change import SiteChanges, change

    said: list[object] = []

    class Connection:
        def query(self, _sql: str) -> list[tuple[str]]:
            return [("what Moodle had",)]

        def execute(self, _sql: str, values: tuple[str]) -> None:
            said.append((values[0], registry.in_atomic_block))

    class Engine:
        @contextmanager
        def connect(self, _database: object, *, read_only: bool) -> Any:
            assert not read_only
            yield Connection()

    make_site(installation, "two")
    monkeypatch.setattr(installation, "engine", lambda _server: Engine())
    with pytest.raises(Conflict, match="two"):
        change(installation, "one", SiteChanges(name="new", aliases=["two.test"]))
    assert said == [("new", False), ("what Moodle had", False)]
    assert type(site).objects.get(id=site.id).name == "one"


def test_only_its_own_alias_is_taken_off_the_map(installation: Installation, site: Any) -> None:
    from vmoodle.lifecycle.change import SiteChanges, change

    change(installation, "one", SiteChanges(aliases=["old.test", "older.test"]))
    change(installation, "one", SiteChanges(remove_aliases=["old.test"]))
    assert published(installation, "old.test") == {}
    assert published(installation, "older.test")["redirect"] == "http://one.test"
    installation.host_map.withdraw_alias("two", "older.test")
    assert published(installation, "older.test")


def test_a_setting_that_one_site_cannot_have_is_forced_on_none(
    installation: Installation, site: Any
) -> None:
    from vmoodle.lifecycle import force
    from vmoodle.registry import forced

    make_site(installation, "two")
    path = installation.home.map / "web" / "two.test.json"
    path.write_text(json.dumps({"shortname": "another"}))
    with pytest.raises(Conflict, match="another"):
        force.force(installation, forced.Scope(), "debug", "1")
    assert forced.rows() == []
    assert "debug" not in published(installation, "one.test")["cfg"]


NOT_JSON = (
    "NaN",
    "[-Infinity]",
    "1e999",
    '"\\ud800"',
    '{"a": "\\udc00"}',
    "a\udcff",
)


@pytest.mark.parametrize("text", NOT_JSON, ids=range(len(NOT_JSON)))
def test_a_value_that_json_has_no_word_for_is_never_stored(
    installation: Installation, site: Any, text: str
) -> None:
    from vmoodle.lifecycle import force
    from vmoodle.registry import forced

    with pytest.raises(InvalidInput) as raised:
        force.force(installation, forced.Scope(), "supportname", text)
    assert raised.value.code == "forced.value"
    assert forced.rows() == []


def test_what_was_stored_once_is_listed_whatever_it_is(
    installation: Installation, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    from vmoodle.cli.forced import list_forced
    from vmoodle.registry import forced

    forced.force(forced.Scope(), "", "supportname", "a\ud800\u00e9")
    list_forced(json=False)
    list_forced(json=True)
    table, _bracket, document = capsysbinary.readouterr().out.partition(b"[")
    assert "a\\ud800\u00e9".encode() in table
    assert json.loads(b"[" + document)[0]["value"] == "a\ud800\u00e9"


def test_a_secret_value_is_read_from_a_file_as_text_and_never_shown(
    installation: Installation, site: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from vmoodle.cli.forced import list_forced, set_forced
    from vmoodle.lifecycle import force
    from vmoodle.registry import forced
    from vmoodle.secret import Secret

    path = tmp_path / "secret"
    for content, value in ((b"1e5\n", "1e5"), (b"-----\nkey\n\n", "-----\nkey\n"), (b"a\r\n", "a")):
        path.write_bytes(content)
        set_forced("smtppass", value_file=str(path))
        assert [row.value for row in forced.rows()] == [value]
    set_forced("noemailever", "true")
    assert value not in capsys.readouterr().out.split()
    list_forced()
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()[1:]] == [
        "true", '"a"'
    ]  # fmt: skip
    path.write_bytes(b"\n")
    for words, code in (
        ({"value_file": str(path)}, "secret.empty"),
        ({"value_file": str(path / "none")}, "secret.unreadable"),
        ({"value_file": str(path), "value": "x"}, "forced.value.which"),
        ({}, "forced.value.which"),
    ):
        with pytest.raises(InvalidInput) as raised:
            set_forced("smtppass", **words)
        assert raised.value.code == code
    with pytest.raises(InvalidInput) as raised:
        force.force(installation, forced.Scope(), "smtppass", Secret("hidden\udcff"))
    assert (raised.value.code, "hidden" in raised.value.message) == ("forced.value", False)


@pytest.mark.parametrize("state", ["reverted", "cancelled"])
def test_a_deletion_that_did_not_come_to_be_says_that_the_site_stands(
    installation: Installation, state: str
) -> None:
    from vmoodle.lifecycle.kinds import KINDS
    from vmoodle.operations.outcome import raise_its_error
    from vmoodle.registry.models import Operation

    for kind, sentence in (
        ("site.delete", "Nothing was deleted; the site is as it was before."),
        ("site.create", "Nothing was left behind."),
    ):
        with pytest.raises(Failed) as raised:
            raise_its_error(Operation(id="x", kind=kind, state=state, step="s"), KINDS)
        assert raised.value.message.endswith(sentence)


def test_what_was_not_running_is_not_said_to_be_stopped(installation: Installation) -> None:
    from vmoodle.lifecycle.stop import stop_all

    (installation.home.embedded / "data").mkdir(parents=True)
    assert stop_all(installation.home) == ["nothing was running"]


@pytest.mark.parametrize("name", ["A <b> site", "</i>", "x<!-- y", "a <3 b", "R<&>D", "ends <"])
def test_a_name_of_which_moodle_would_take_a_tag_is_refused(name: str) -> None:
    from vmoodle.lifecycle import names

    with pytest.raises(InvalidInput) as refused:
        names.full_name(name)
    assert refused.value.code == "site.name.tag"


@pytest.mark.parametrize("name", ["1 < 2", "a > b", '<span lang="en" class="multilang">A</span>'])
def test_a_name_that_moodle_leaves_as_it_is_is_taken(name: str) -> None:
    from vmoodle.lifecycle import names

    assert names.full_name(name) == name


def test_the_rule_for_tags_in_a_name_is_that_of_php() -> None:
    from vmoodle.lifecycle import names

    if not shutil.which("php"):
        pytest.skip("not installed: php")
    after = [*map(chr, range(32, 127)), "\u00a0", "é", ""]
    tried = [f"a <{character}3 b" if character else "a <" for character in after]
    strip = (
        "foreach (json_decode(stream_get_contents(STDIN)) as $text)"
        " echo (int) (strip_tags($text) !== $text);"
    )
    said = subprocess.run(
        ["php", "-n", "-r", strip], input=json.dumps(tried), capture_output=True, text=True,
        check=True,
    ).stdout  # fmt: skip
    refused = ""
    for name in tried:
        try:
            names.full_name(name)
        except InvalidInput as error:
            assert error.code == "site.name.tag"
            refused += "1"
        else:
            refused += "0"
    assert refused == said


def in_operation(installation: Installation, kind: str, parameters: dict[str, Any]) -> Any:
    """Return what the steps of an operation on the site are given; what is kept is kept."""
    from vmoodle.operations.plan import StepContext
    from vmoodle.registry import operations

    row = operations.submit(kind, site="one", parameters=parameters, node="here")

    def keep(members: Any) -> None:
        operations.keep_result(row.id, members)

    return StepContext(installation, row.id, "one", parameters, print, keep)


@pytest.mark.parametrize("stopped", [False, True])
def test_a_suspended_site_keeps_its_reason_over_an_operation(
    installation: Installation, site: Any, stopped: bool
) -> None:
    from vmoodle.lifecycle import interruption
    from vmoodle.lifecycle.suspend import suspend
    from vmoodle.registry import sites

    suspend(installation, "one", "holidays")
    context = in_operation(installation, "site.move", {"state": "suspended"})
    # A step may begin again after a crash.
    for _run in range(2):
        interruption.begin(context)
    if stopped:
        interruption.attention(context)
        interruption.begin(context)
    interruption.end(context)
    assert (sites.find("one").state, sites.find("one").state_reason) == ("suspended", "holidays")


def test_a_suspended_site_keeps_its_reason_when_its_deletion_is_taken_back(
    installation: Installation, site: Any
) -> None:
    from vmoodle.registry import sites

    sites.suspended(site, "holidays")
    sites.deleting(site)
    sites.deletion_taken_back(site)
    assert (sites.find("one").state, sites.find("one").state_reason) == ("suspended", "holidays")
    sites.deleting(site)
    sites.needs_attention(site, "operation stopped half-way")
    sites.deletion_taken_back(site)
    assert sites.find("one").state_reason == "deletion was taken back"


def test_a_move_that_is_taken_back_leaves_an_alias_that_was_there_before(
    installation: Installation, site: Any
) -> None:
    from vmoodle.lifecycle import move
    from vmoodle.registry import sites

    sites.readdressed(site, wwwroot="http://host.test/school", address_key="host.test/school")
    site = sites.find("one")
    sites.add_alias(site, "host.test")
    parameters = {"old": "http://host.test/school", "new": "http://new.test", "redirect": False}
    context = in_operation(installation, "site.move", parameters)
    (step,) = (step for step in move.MOVE.steps if step.name == "address")
    step.act(context)
    assert step.undo is not None
    step.undo(context)
    assert sites.find("one").wwwroot == "http://host.test/school"
    assert sites.alias_hosts(sites.find("one")) == ["host.test"]


def test_the_words_of_a_new_site_are_checked_before_anything_is_looked_for(
    installation: Installation,
) -> None:
    from vmoodle.lifecycle.create import create, deploy
    from vmoodle.lifecycle.create.request import SiteRequest

    request = SiteRequest("ba'd", "http://bad.example.test", codebase="none")
    for plan in (
        lambda: create.plan(installation, request),
        lambda: deploy.plan(installation, request, "site:none"),
    ):
        with pytest.raises(InvalidInput) as refused:
            plan()
        assert refused.value.code == "site.shortname.invalid"
