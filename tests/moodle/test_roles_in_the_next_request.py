"""`vmoodle role` on two served Moodles: a user gains and loses a capability on the next request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.fleet import Fleet
from tests.moodle.running_site import HOST, running_site
from tests.moodle.test_effect_on_next_request import PASSWORD, PREPARE, VIEW, Proof
from tests.trees import real_trees

from vmoodle.installation import Installation
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.roles.definitions import read_roles
from vmoodle.secret import Secret

pytestmark = pytest.mark.moodle

SERIES = ("4.5", "5.1")


@pytest.fixture(scope="module", params=[("maria", "postgres"), ("postgres", "maria")], ids="-".join)
def proofs(
    request: pytest.FixtureRequest, database_urls: dict[str, str]
) -> Iterator[dict[str, Proof]]:
    """Serve a Moodle of each series, each on another engine, with a user logged in."""
    trees = {MoodleTree.open(path).version.series: path for path in reversed(real_trees())}
    if not set(SERIES) <= trees.keys():
        pytest.skip("no real Moodle 4.5 and 5.1 (VMOODLE_MOODLE_TREES)")
    with ExitStack() as stack:
        served = {}
        for series, server in zip(SERIES, request.param, strict=True):
            site = stack.enter_context(running_site(trees[series], database_urls[server]))
            course, overridden = json.loads(site.run(PREPARE))
            browser = stack.enter_context(site.served())
            browser.login("prover", PASSWORD)
            assert browser.is_logged_in()
            served[f"s{series.replace('.', '')}"] = Proof(site, browser, course, overridden)
        yield served


@pytest.fixture
def fleet(
    proofs: dict[str, Proof],
    installation: Installation,
    home: Path,
    database_urls: dict[str, str],
) -> Fleet:
    from vmoodle.registry.models import Codebase, DatabaseServer, Site

    for name, proof in proofs.items():
        site = proof.site
        engine = site.engine.address.engine
        url = database_urls["maria" if engine == "mariadb" else "postgres"]
        server = DatabaseServer.objects.create(
            name=name, engine=engine, address=site.engine.address.display(), flavour=engine,
            version="1", url_encrypted=installation.encrypt(Secret(url)),
        )  # fmt: skip
        version = site.tree.version
        codebase = Codebase.objects.create(
            name=name, path=str(site.tree.root), layout=site.tree.layout,
            version=str(version.version), release=version.release, branch=version.branch,
        )  # fmt: skip
        Site.objects.create(
            shortname=name, name=name, wwwroot=f"http://{name}.{HOST}", address_key=name,
            codebase=codebase, server=server, database=site.database.name,
            account=site.database.account, table_prefix=site.database.prefix,
            password_encrypted=installation.encrypt(site.database.password),
            dataroot=str(site.place.dataroot), session_key=name, state="enabled",
            admin_user="admin", admin_email="a@example.test",
        )  # fmt: skip
    return Fleet(home)


def rows(document: dict[str, Any], site: str) -> set[tuple[str, str, str]]:
    (one,) = [result for result in document["results"] if result["site"] == site]
    return {(row["key"], row["old"], row["new"]) for row in one["rows"]}


@pytest.mark.parametrize(("source", "target"), [("s45", "s51"), ("s51", "s45")])
def test_a_planted_difference_is_found_synced_and_taken_back(
    fleet: Fleet, proofs: dict[str, Proof], source: str, target: str
) -> None:
    user = proofs[target]
    with user.site.inside() as connection:
        before = read_roles(connection)
    overrides = user.overrides()
    assert user.sees_participants(user.course)
    assert not user.sees_participants(user.overridden)
    planted = fleet.json(
        "role", "capability", "student", VIEW, "--inherit", "--on", target, "--yes"
    )
    assert not user.sees_participants(user.course)

    told = fleet.json("role", "compare", "student", "--on", "*", "--against", source)["comparison"]
    states = {row["name"]: row["differing"] for row in told}
    assert states[VIEW] == {target: {"value": "not set (course)", "state": "not set"}}

    words = ("role", "sync", "student", "--from", source, "--on", target, "--part", "permission")
    trial = fleet.json(*words, "--dry-run")
    assert (VIEW, "not set", "allow") in rows(trial, target)
    assert not user.sees_participants(user.course)
    synced = fleet.json(*words, "--yes")
    assert rows(synced, target) == rows(trial, target)
    assert user.sees_participants(user.course)
    assert not user.sees_participants(user.overridden)
    assert user.overrides() == overrides

    fleet.json("run", "undo", synced["run"], "--yes")
    assert not user.sees_participants(user.course)
    fleet.json("run", "undo", planted["run"], "--yes")
    assert user.sees_participants(user.course)
    with user.site.inside() as connection:
        assert read_roles(connection) == before


@pytest.mark.parametrize("target", ["s45", "s51"])
def test_moodles_own_reset_shows_at_once_and_is_taken_back(
    fleet: Fleet, proofs: dict[str, Proof], target: str
) -> None:
    user = proofs[target]
    with user.site.inside() as connection:
        before = read_roles(connection)
    overrides = user.overrides()
    fleet.run("role", "capability", "student", VIEW, "--inherit", "--on", target, "--yes")
    assert not user.sees_participants(user.course)
    words = ("role", "reset", "student", "--on", target)
    trial = fleet.json(*words, "--dry-run")
    assert (VIEW, "not set", "allow") in rows(trial, target)
    assert not user.sees_participants(user.course)
    done = fleet.json(*words, "--yes")
    assert rows(done, target) == rows(trial, target)
    assert user.sees_participants(user.course)
    assert user.overrides() == overrides
    defaults = json.loads(user.site.run("echo json_encode(get_default_capabilities('student'));"))
    with user.site.inside() as connection:
        assert read_roles(connection).role("student").permissions == defaults
    fleet.json("run", "undo", done["run"], "--yes")
    assert not user.sees_participants(user.course)
    fleet.run("role", "capability", "student", VIEW, "--allow", "--on", target, "--yes")
    with user.site.inside() as connection:
        assert read_roles(connection) == before
    problem = fleet.problem("role", "reset", "nobody", "--on", target, "--dry-run")
    assert problem["code"] == "role.unknown"


def test_a_reset_that_moodle_made_before_it_ended_badly_is_told_and_taken_back(
    fleet: Fleet, proofs: dict[str, Proof]
) -> None:
    user = proofs["s45"]
    with user.site.inside() as connection:
        before = read_roles(connection)
    fleet.run("role", "capability", "student", VIEW, "--inherit", "--on", "s45", "--yes")
    config = user.site.tree.root / "config.php"
    whole = config.read_text()
    config.write_text(
        f"""{whole}
        register_shutdown_function(function() {{
            global $DB;
            $student = $DB->get_field('role', 'id', ['shortname' => 'student']);
            if ($DB->record_exists('role_capabilities', ['roleid' => $student, 'capability' =>
                    '{VIEW}', 'contextid' => SYSCONTEXTID])) {{
                exit(3);
            }}
        }});
        """
    )
    try:
        done = fleet.json("role", "reset", "student", "--on", "s45", "--yes")
    finally:
        config.write_text(whole)
    assert (VIEW, "not set", "allow") in rows(done, "s45")
    assert user.sees_participants(user.course)
    fleet.json("run", "undo", done["run"], "--yes")
    assert not user.sees_participants(user.course)
    fleet.run("role", "capability", "student", VIEW, "--allow", "--on", "s45", "--yes")
    with user.site.inside() as connection:
        assert read_roles(connection) == before
