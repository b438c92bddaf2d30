"""Settings of real Moodle databases: read, set, unset, compared and copied, on both engines."""

from __future__ import annotations

import pytest

from conftest import Server
from fixtures import undone
from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import InvalidInput, NotFound, Refused
from vmoodle.moodle.site_settings import (
    SettingName,
    compare_settings,
    parse_setting,
    plan_copy,
    read_component,
    read_settings,
    set_settings,
    undo_of,
)

pytestmark = pytest.mark.parametrize(
    "server", ["mariadb", "postgresql"], indirect=True, scope="session"
)

CONTENT, FRESH = "moodle-4.5.5-content", "moodle-4.5.5"
SUMMARIES, BIND = parse_setting("courseswithsummarieslimit"), parse_setting("auth_ldap/bind_pw")
AWKWARD = "Ünï\n'quoted' \"x\" \\ 100% {config} mdl_"


def stored(connection: SiteConnection, setting: SettingName) -> str | None:
    return read_settings(connection, [setting])[setting].stored


def logged(connection: SiteConnection) -> list[tuple[object, ...]]:
    return list(
        connection.query(
            "SELECT plugin, name, oldvalue, value, userid FROM {config_log} ORDER BY id DESC"
        )
    )


def test_settings_of_core_and_plugins_are_read_together(server: Server) -> None:
    wanted = [SUMMARIES, BIND, parse_setting("mod_quiz/none")]
    with undone(server.engine, CONTENT) as connection:
        values = read_settings(connection, wanted)
    assert values[SUMMARIES].effective == "10"
    assert values[BIND].stored == "ldap-secret-a"
    assert values[wanted[2]].effective is None
    assert "ldap-secret" not in repr(values)


def test_a_setting_is_set_changed_and_unset_and_moodles_log_knows(server: Server) -> None:
    with undone(server.engine, FRESH) as connection:
        for value in ("12", AWKWARD, ""):
            (change,) = set_settings(connection, {SUMMARIES: value})
            assert stored(connection, SUMMARIES) == value
            assert logged(connection)[0] == (None, SUMMARIES.name, change.old, value, 2)
            assert set_settings(connection, {SUMMARIES: value}) == ()
        set_settings(connection, {SUMMARIES: None})
        assert stored(connection, SUMMARIES) is None
        assert set_settings(connection, {SUMMARIES: None}) == ()


def test_a_change_is_taken_back(server: Server) -> None:
    new = parse_setting("local_x/new")
    with undone(server.engine, FRESH) as connection:
        changes = set_settings(connection, {SUMMARIES: "1", BIND: None, new: "value"}, create=True)
        assert stored(connection, new) == "value"
        set_settings(connection, undo_of(changes), create=True)
        assert stored(connection, new) is None
        assert stored(connection, SUMMARIES) == "10"


def test_a_secret_is_in_no_log_and_no_repr(server: Server) -> None:
    with undone(server.engine, CONTENT) as connection:
        changes = set_settings(connection, {BIND: "A new one"})
        assert logged(connection)[0][:4] == ("auth_ldap", "bind_pw", "********", "********")
        assert stored(connection, BIND) == "A new one"
    assert "A new one" not in repr(changes)
    assert "ldap-secret" not in repr(changes)


@pytest.mark.parametrize(
    ("text", "is_secret"),
    [
        ("smtppass", True), ("proxypassword", True), ("cronremotepassword", True),
        ("recaptchaprivatekey", True), ("calendar_exportsalt", True), ("auth_db/pass", True),
        ("mnet/openssl_history", True), ("mod_lti/privatekey", True),
        ("aiprovider_openai/apikey", True), ("bigbluebuttonbn_shared_secret", True),
        ("forcelogin", False), ("supportname", False), ("quiz/timelimit", False),
        ("passwordpolicy", False), ("theme_boost/preset", False),
    ],
)  # fmt: skip
def test_secrets_are_known_by_their_names(server: Server, text: str, is_secret: bool) -> None:
    assert parse_setting(text).is_secret == is_secret


def test_an_unknown_setting_is_refused_with_those_alike(server: Server) -> None:
    with undone(server.engine, FRESH) as connection:
        wrong = parse_setting("courseswithsummarylimit")
        with pytest.raises(NotFound) as error:
            set_settings(connection, {wrong: "1"})
        assert error.value.code == "setting.unknown"
        assert SUMMARIES.name in error.value.hint
        set_settings(connection, {wrong: "1"}, create=True)
        assert stored(connection, wrong) == "1"


def test_a_forced_setting_is_shown_as_such_and_not_set(server: Server) -> None:
    forced = {"": {SUMMARIES.name: 7, "debug": True}, "auth_ldap": {"bind_pw": "other", "x": None}}
    with undone(server.engine, CONTENT) as connection:
        values = read_settings(connection, [SUMMARIES, BIND], forced)
        assert (values[SUMMARIES].stored, values[SUMMARIES].effective) == ("10", "7")
        assert values[BIND].is_forced
        assert values[BIND].effective == "other"
        component = read_component(connection, "auth_ldap", forced)
        assert component[parse_setting("auth_ldap/x")].effective is None
        with pytest.raises(Refused) as error:
            set_settings(connection, {SUMMARIES: "1"}, forced=forced)
        assert error.value.code == "setting.forced"


@pytest.mark.parametrize("name", ["siteidentifier", "version", "mod_quiz/version"])
def test_what_a_site_says_of_itself_is_not_set(server: Server, name: str) -> None:
    with undone(server.engine, FRESH) as connection:
        with pytest.raises(Refused) as error:
            set_settings(connection, {parse_setting(name): "1"})
        assert error.value.code == "setting.reserved"


@pytest.mark.parametrize(
    "text", ["", "/", "a/b/c", "a b", "a'", "mod_quiz/", "/x", "ü", "x" * 256, "a/" + "x" * 101]
)
def test_what_is_no_name_is_refused(server: Server, text: str) -> None:
    with pytest.raises(InvalidInput) as error:
        parse_setting(text)
    assert error.value.code == "setting.name"


def test_a_bad_value_among_good_ones_changes_nothing(server: Server) -> None:
    with undone(server.engine, FRESH) as connection:
        with pytest.raises(InvalidInput) as error:
            set_settings(connection, {SUMMARIES: "1", parse_setting("frontpage"): "a\0b"})
        assert error.value.code == "setting.value"
        assert stored(connection, SUMMARIES) == "10"


def test_sites_are_grouped_by_value_with_the_most_frequent_first(server: Server) -> None:
    sites = {}
    for site, value in (("a", "10"), ("b", "4"), ("c", "10"), ("d", None)):
        with undone(server.engine, FRESH) as connection:
            set_settings(connection, {SUMMARIES: value})
            sites[site] = read_settings(connection, [SUMMARIES])
    with undone(server.engine, FRESH) as connection:
        sites["e"] = read_settings(connection, [SUMMARIES], {"core": {SUMMARIES.name: 10}})
    (row,) = compare_settings(sites)
    assert row.groups == (("10", ("a", "c", "e")), ("4", ("b",)), (None, ("d",)))
    assert (row.differing, row.forced_on) == (("b", "d"), ("e",))


def test_a_plugins_configuration_is_copied_without_its_version_and_identity(
    server: Server,
) -> None:
    with undone(server.engine, CONTENT) as connection:
        sources = {name: read_component(connection, name) for name in ("auth_ldap", "mod_lti")}
    with undone(server.engine, FRESH) as connection:
        version = stored(connection, parse_setting("auth_ldap/version"))
        connection.execute("UPDATE {config_plugins} SET value = 'x' WHERE name = 'kid'")
        for name, source in sources.items():
            plan = plan_copy(name, source, read_component(connection, name))
            set_settings(connection, plan.values, create=True)
            again = plan_copy(name, source, read_component(connection, name))
            assert again.values == {}
        assert stored(connection, BIND) == "ldap-secret-a"
        assert stored(connection, parse_setting("auth_ldap/version")) == version
        assert stored(connection, parse_setting("mod_lti/kid")) == "x"
        assert parse_setting("mod_lti/privatekey") in plan.left
        assert "ldap-secret" not in repr(plan)


def test_a_copy_removes_only_when_told_and_leaves_what_is_forced(server: Server) -> None:
    with undone(server.engine, FRESH) as connection:
        source = read_component(connection, "quiz")
        extra, forced_name = parse_setting("quiz/extra"), parse_setting("quiz/timelimit")
        set_settings(connection, {extra: "1", forced_name: "99"}, create=True)
        target = read_component(connection, "quiz", {"quiz": {"timelimit": 5}})
        assert dict(plan_copy("quiz", source, target).values) == {}
        plan = plan_copy("quiz", source, target, remove=True)
        assert dict(plan.values) == {extra: None}
        assert list(plan.left) == [forced_name]
        with pytest.raises(NotFound) as error:
            plan_copy("mod_none", read_component(connection, "mod_none"), {})
        assert error.value.code == "setting.component"
