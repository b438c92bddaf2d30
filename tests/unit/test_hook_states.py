"""The hook as PHP runs it: what each state of a site answers, on the web and to a command."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.hook_tree import HookTree, ask, hook_tree, served, site

Server = tuple[str, int]
PAGE = "<p>Back at noon &ndash; the administrator</p>"


@pytest.fixture(scope="module")
def tree() -> Iterator[HookTree]:
    with hook_tree() as made:
        yield made


@pytest.fixture(scope="module")
def server(tree: HookTree) -> Iterator[Server]:
    with served(tree) as address:
        yield address


@pytest.fixture(autouse=True)
def empty_map(tree: HookTree) -> None:
    tree.host_map.publish_all([])


def cfg(server: Server, host: str, uri: str = "/", **how: Any) -> dict[str, Any]:
    """Return what the tree saw in $CFG; the request must have been served."""
    answer = ask(server, host, uri, **how)
    assert answer is not None
    assert answer.status == 200, answer
    seen: dict[str, Any] = json.loads(answer.body)
    return seen


def status(server: Server, host: str, uri: str = "/", **how: Any) -> int:
    answer = ask(server, host, uri, **how)
    assert answer is not None
    return answer.status


def test_a_live_site_is_served_with_its_own_settings(tree: HookTree, server: Server) -> None:
    one = replace(
        site("one", "https://one.test"),
        forced_cfg={
            "debug": 0,
            "theme": "boost",
            "noemailever": True,
            "supportname": 'Zoë\'s \\ "x"',
        },
        forced_plugins={"auth_ldap": {"host_url": "ldaps://ldap.test", "field_lock": ["a", 2]}},
    )
    tree.host_map.publish(one)
    tree.host_map.publish(site("two", "http://two.test:8080"))
    seen = cfg(server, "one.test")
    assert seen["wwwroot"] == "https://one.test"
    assert seen["dbname"] == "database_of_one"
    assert seen["dboptions"] == {"dbport": 5432}
    assert (seen["debug"], seen["theme"], seen["noemailever"]) == (0, "boost", True)
    assert seen["supportname"] == 'Zoë\'s \\ "x"'
    assert seen["forced_plugin_settings"]["auth_ldap"]["field_lock"] == ["a", 2]
    assert cfg(server, "two.test:8080")["wwwroot"] == "http://two.test:8080"


@pytest.mark.parametrize("length", [0, 200, 600, 700, 5_000, 100_000])
def test_a_site_is_served_whole_however_long_its_settings_are(
    tree: HookTree, server: Server, length: int
) -> None:
    text = "x" * length
    tree.host_map.publish(replace(site("one", "https://one.test"), forced_cfg={"text": text}))
    seen = cfg(server, "one.test", "/course/view.php?id=2")
    assert (seen["text"], seen["dbname"]) == (text, "database_of_one")


@pytest.mark.parametrize("host", ["ONE.Test", "one.test.", "one.test:80", "One.Test.:8443"])
def test_case_port_and_trailing_dot_of_the_host_do_not_matter(
    tree: HookTree, server: Server, host: str
) -> None:
    tree.host_map.publish(site("one", "https://one.test"))
    seen = cfg(server, host)
    assert seen["wwwroot"] == "https://one.test"
    # Moodle compares it with the host of wwwroot (lib/setuplib.php, initialise_fullme, 4.5).
    assert seen["__host"].partition(":")[0] == "one.test"


@pytest.mark.parametrize("state", ["suspended", "deploying"])
def test_a_site_that_is_not_live_answers_503_with_the_administrators_page(
    tree: HookTree, server: Server, state: Any
) -> None:
    tree.host_map.publish(
        replace(site("one", "https://one.test"), state=state, retry_after=77, page=PAGE)
    )
    answer = ask(server, "one.test", "/course/view.php?id=2")
    assert answer is not None
    assert (answer.status, answer.headers["retry-after"], answer.body) == (503, "77", PAGE)
    assert "no-store" in answer.headers["cache-control"]


def test_without_an_administrators_page_a_plain_one_is_shown(
    tree: HookTree, server: Server
) -> None:
    tree.host_map.publish(replace(site("one", "https://one.test"), state="suspended"))
    answer = ask(server, "one.test")
    assert answer is not None
    assert answer.status == 503
    assert answer.headers["retry-after"] == "300"
    assert "<title>Not available</title>" in answer.body


def test_a_deleted_site_is_gone_and_an_unknown_host_is_not_found(
    tree: HookTree, server: Server
) -> None:
    one = site("one", "https://one.test")
    tree.host_map.publish(one)
    tree.host_map.withdraw("one", one.address, tombstone=True)
    assert status(server, "one.test") == 410
    assert status(server, "unknown.test") == 404
    assert status(server, "") == 404


@pytest.mark.parametrize(("state", "expected"), [("suspended", 503), ("unknown", 404)])
def test_a_head_request_gets_the_status_and_no_body(
    tree: HookTree, server: Server, state: Any, expected: int
) -> None:
    tree.host_map.publish(replace(site("one", "https://one.test"), state="suspended", page=PAGE))
    answer = ask(server, "one.test" if state == "suspended" else "x.test", method="HEAD")
    assert answer is not None
    assert (answer.status, answer.body) == (expected, "")


def test_a_site_of_another_code_tree_is_not_served_by_this_one(
    tree: HookTree, server: Server
) -> None:
    tree.host_map.publish(replace(site("one", "https://one.test"), codebase="other"))
    answer = ask(server, "one.test")
    assert answer is not None
    assert answer.status == 503
    assert "other" not in answer.body


DAMAGED = {
    "empty": "",
    "half": '{"format":1,"shortname":"one","cfg":{"wwwr',
    "not json": "<?php echo 1;",
    "a number": "5",
    "a list": "[1]",
    "null": "null",
    "another format": '{"format":2,"state":"live","codebase":"main","cfg":{}}',
    "nothing but a format": '{"format":1}',
    "without settings": '{"format":1,"state":"live","codebase":"main","shortname":"one"}',
    "settings of no kind": '{"format":1,"state":"live","codebase":"main","shortname":"x","cfg":5}',
    "without a code tree": '{"format":1,"state":"live","shortname":"one","cfg":{"wwwroot":"x"}}',
    "without a state": '{"format":1,"codebase":"main","shortname":"one","cfg":{"wwwroot":"x"}}',
    "a redirect to a list": '{"format":1,"redirect":["https://evil.test"]}',
    "a page that is none": '{"format":1,"state":"suspended","codebase":"main","shortname":"one",'
    '"cfg":{"wwwroot":"x"},"page":[1],"retry_after":null}',
    "NUL": "\0" * 100,
}


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_file_of_the_map_answers_503_and_shows_nothing(
    tree: HookTree, server: Server, text: str
) -> None:
    tree.host_map.publish(site("one", "https://one.test"))
    (tree.web / "one.test.json").write_text(text)
    answer = ask(server, "one.test")
    assert answer is not None
    assert answer.status == 503
    for shown in ("Warning", "Fatal", "Uncaught", "hook.php", str(tree.map_directory)):
        assert shown not in answer.body


@pytest.mark.parametrize("what", ["file", "directory"])
def test_what_the_web_account_may_not_read_answers_503_and_shows_nothing(
    tree: HookTree, server: Server, what: str
) -> None:
    tree.host_map.publish(site("one", "https://one.test"))
    path = tree.web / "one.test.json" if what == "file" else tree.web
    mode = path.stat().st_mode
    path.chmod(0)
    try:
        answer = ask(server, "one.test")
    finally:
        path.chmod(mode)
    assert answer is not None
    assert answer.status == 503
    assert "Warning" not in answer.body
    assert str(tree.map_directory) not in answer.body
    assert status(server, "one.test") == 200


REDIRECTS = {
    "/": "/",
    "/course/view.php?id=2&x=%2F#f": "/course/view.php?id=2&x=%2F#f",
    "//evil.test/x": "/evil.test/x",
    "///evil.test": "/evil.test",
    "/\\evil.test": "/evil.test",
    "/\\/\\evil.test": "/evil.test",
    "/https://evil.test": "/https://evil.test",
    "/@evil.test": "/@evil.test",
    "/.evil.test": "/.evil.test",
    "/x?to=//evil.test": "/x?to=//evil.test",
}


@pytest.mark.parametrize(("uri", "kept"), REDIRECTS.items())
def test_an_alias_redirects_to_the_sites_own_address_and_nowhere_else(
    tree: HookTree, server: Server, uri: str, kept: str
) -> None:
    tree.host_map.publish(
        replace(site("one", "https://one.test/school"), aliases=("old.test", "older.test"))
    )
    answer = ask(server, "OLD.test:8080", uri)
    assert answer is not None
    assert (answer.status, answer.headers["location"]) == (301, f"https://one.test/school{kept}")


def test_an_alias_keeps_the_method_of_a_form(tree: HookTree, server: Server) -> None:
    tree.host_map.publish(replace(site("one", "https://one.test"), aliases=("old.test",)))
    answer = ask(
        server, "old.test", "/login/index.php", method="POST", headers=["Content-Length: 0"]
    )
    assert answer is not None
    assert answer.status == 308
    assert status(server, "old.test", "/", method="HEAD") == 301


def test_a_redirect_holds_no_character_that_could_end_the_header(
    tree: HookTree, server: Server
) -> None:
    tree.host_map.publish(replace(site("one", "https://one.test"), aliases=("old.test",)))
    answer = ask(server, "old.test", "/a%0d%0aSet-Cookie:x=1%c3%a9")
    assert answer is not None
    assert "set-cookie" not in answer.headers
    assert answer.headers["location"].startswith("https://one.test/a%0d%0aSet-Cookie:x=1")


def test_sites_below_paths_of_one_host_are_told_apart(tree: HookTree, server: Server) -> None:
    for name, path in (("root", ""), ("a", "/a"), ("b", "/b-2")):
        tree.host_map.publish(site(name, f"https://shared.test{path}"))
    for uri, database in {
        "/": "root", "/index.php": "root", "/c/a": "root", "/A": "root", "/a.php": "root",
        "/?/a": "root", "/aa": "root",
        "/a": "a", "/a/": "a", "/a?x=/b-2": "a", "/a/b-2": "a", "/%61/x": "a", "//a/x": "a",
        "/b-2/login/index.php": "b",
    }.items():  # fmt: skip
        assert cfg(server, "shared.test", uri)["dbname"] == f"database_of_{database}", uri


def test_without_a_site_at_the_root_only_the_paths_of_a_host_are_served(
    tree: HookTree, server: Server
) -> None:
    tree.host_map.publish(site("a", "https://shared.test/a"))
    assert status(server, "shared.test", "/a/") == 200
    for uri in ("/", "/b/", "/%2e%2e/a", "/a%2f", "/a%00", "/.", "/../shared.test"):
        assert status(server, "shared.test", uri) == 404, uri
    # The name of the file is no address either.
    assert status(server, "shared.test+a") == 404


def test_a_change_of_the_map_is_seen_by_the_next_request(tree: HookTree, server: Server) -> None:
    for run in range(30):
        tree.host_map.publish(replace(site("one", "https://one.test"), forced_cfg={"run": run}))
        assert cfg(server, "one.test")["run"] == run
        tree.host_map.publish(replace(site("one", "https://one.test"), state="suspended"))
        assert status(server, "one.test") == 503
    tree.host_map.withdraw("one", site("one", "https://one.test").address, tombstone=False)
    assert status(server, "one.test") == 404


def test_forwarded_headers_and_the_environment_choose_no_site(
    tree: HookTree, server: Server
) -> None:
    tree.host_map.publish(site("one", "https://one.test"))
    tree.host_map.publish(site("environment", "https://two.test"))
    lies = [
        "X-Forwarded-Host: two.test", "X-Forwarded-Proto: http", "X-Host: two.test",
        "Forwarded: host=two.test", "X-Original-URL: /a", "VMOODLE_SITE: environment",
        "VMOODLE-SITE: environment", "X-Forwarded-Port: 81", "X-Forwarded-Server: two.test",
    ]  # fmt: skip
    assert cfg(server, "one.test", headers=lies)["wwwroot"] == "https://one.test"
    assert status(server, "three.test", headers=lies) == 404
    assert status(server, "three.test", "/?VMOODLE_SITE=environment", headers=lies) == 404


def test_the_command_line_serves_the_site_that_it_names(tree: HookTree) -> None:
    tree.host_map.publish(site("one", "https://one.test"))
    tree.host_map.publish(site("two", "https://one.test/two"))
    for named, database in {
        "one": "one", "two": "two",
        "https://one.test": "one", "https://ONE.test/": "one", "https://one.test/two": "two",
    }.items():  # fmt: skip
        done = tree.php(site=named)
        assert done.returncode == 0, done
        assert json.loads(done.stdout)["dbname"] == f"database_of_{database}"


@pytest.mark.parametrize("state", ["suspended", "deploying"])
def test_the_command_line_serves_a_suspended_site(tree: HookTree, state: Any) -> None:
    tree.host_map.publish(replace(site("one", "https://one.test"), state=state))
    done = tree.php(site="one")
    assert json.loads(done.stdout)["dbname"] == "database_of_one"


NOBODY = (
    None, "", "unknown", "ONE", "one ", " one", "one\n", "../web/one.test", "cli/one", "one.json",
    "../../../../etc/passwd", "one\t", "x' OR 1=1 -- -", "https://unknown.test",
    "https://one.test/unknown", "https://one.test/one.test", "https://one.test/../cli/one",
    "https://one.test/a/b", "https://one.test@evil.test", "ftp://one.test", "one.test",
    "https://", "https:///", "https://one.test\n", "https://two+a", "gone", "https://gone.test",
    "https://old.test", "é", "-", "a" * 5000, "elsewhere", "https://else.test", "damaged",
)  # fmt: skip


def test_the_command_line_refuses_what_names_no_site_and_touches_nothing(tree: HookTree) -> None:
    gone = site("gone", "https://gone.test")
    for one in (
        replace(site("one", "https://one.test"), aliases=("old.test",)),
        site("damaged", "https://damaged.test"),
        replace(site("elsewhere", "https://else.test"), codebase="other"),
        gone,
    ):
        tree.host_map.publish(one)
    tree.host_map.withdraw("gone", gone.address, tombstone=True)
    (tree.web / "damaged.test.json").write_text('{"format":1,')
    for named in NOBODY:
        done: subprocess.CompletedProcess[str] = tree.php(site=named)
        assert (done.returncode, done.stdout) == (1, ""), (named, done)
        assert done.stderr.startswith("VMoodle: "), (named, done)
        assert done.stderr.count("\n") == 1, (named, done)
        assert "Warning" not in done.stderr
        assert "database_of" not in done.stderr


def test_an_argument_or_a_server_variable_names_no_site(tree: HookTree) -> None:
    tree.host_map.publish(site("one", "https://one.test"))
    assert tree.php("VMOODLE_SITE=one", "--host=one.test", site=None).returncode == 1


def test_what_is_lent_runs_on_the_command_line_and_answers_no_request(
    tree: HookTree, server: Server
) -> None:
    copy = site("upgrade-1_", "https://copy.test")
    tree.host_map.lend(copy)
    tree.host_map.lend(copy)
    assert json.loads(tree.php(site="upgrade-1_").stdout)["dbname"] == "database_of_upgrade-1_"
    assert status(server, "copy.test") == 404
    assert status(server, "upgrade-1_") == 404
    assert list(tree.host_map.differences([], lent=["upgrade-1_"])) == []
    assert [*tree.host_map.differences([])] == ["cli/upgrade-1_.json belongs to no site."]
    tree.host_map.publish_all([], lent=["upgrade-1_"])
    assert tree.php(site="upgrade-1_").returncode == 0
    for _again in range(2):
        tree.host_map.take_back("upgrade-1_")
        assert tree.php(site="upgrade-1_").returncode == 1
    with pytest.raises(ValueError, match="could be a site"):
        tree.host_map.lend(site("one", "https://one.test"))
