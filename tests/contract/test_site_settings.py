"""Settings of real Moodle databases: read, set, unset, compared and copied, on both engines."""

from __future__ import annotations

import pytest
from tests.engine_servers import Server

from fixtures import undone
from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import InvalidInput, NotFound, Refused
from vmoodle.moodle.caches.invalidation import Change
from vmoodle.moodle.config.copies import plan_copy, read_source
from vmoodle.moodle.config.names import SettingName, SettingPattern, parse_pattern, parse_setting
from vmoodle.moodle.config.settings import (
    read_component,
    read_matching,
    read_settings,
    set_settings,
    undo_of,
)
from vmoodle.moodle.setting_effects import entail

pytestmark = pytest.mark.parametrize(
    "server", ["mariadb", "postgresql"], indirect=True, scope="session"
)

CONTENT, FRESH, NEWEST = "moodle-4.5.5-content", "moodle-4.5.5", "moodle-5.1.0"
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
        ("tool_x/encryptionkey", True), ("tool_x/jwtkey", True), ("tool_x/sharedkey", True),
        ("tool_x/signingkey", True), ("tool_x/license_key", True), ("tool_x/pwd", True),
        ("tool_x/credentials", True), ("tool_x/bottoken", True), ("tool_x/apiKey", True),
        ("recaptchapublickey", False), ("proxybypass", False), ("sessiontimeout", False),
        ("enrol_self/requirepassword", False), ("auth_ldap/field_map_password", False),
        ("tokenduration", False), ("auth_db/passtype", False), ("auth_db/fieldpass", False),
    ],
)  # fmt: skip
def test_secrets_are_known_by_their_names(server: Server, text: str, is_secret: bool) -> None:
    assert parse_setting(text).is_secret == is_secret


# Of all settings of a Moodle with people and courses, and of a newer one.
SECRETS = set(
    [
        "aiprovider_azureai/apikey",
        "aiprovider_openai/apikey",
        "airnotifieraccesskey",
        "auth_cas/bind_pw",
        "auth_db/pass",
        "auth_db/user",
        "auth_ldap/bind_pw",
        "badges_badgesalt",
        "bigbluebuttonbn_shared_secret",
        "block_tag_youtube/apikey",
        "cachestore_redis/test_password",
        "calendar_exportsalt",
        "communication_matrix/matrixaccesstoken",
        "cronremotepassword",
        "enrol_database/dbpass",
        "enrol_ldap/bind_pw",
        "enrol_lti/lti_13_privatekey",
        "geoipmaxmindaccid",
        "geoipmaxmindlicensekey",
        "geopluginapikey",
        "googlemapkey3",
        "logstore_database/dbpass",
        "messageinbound_hostpass",
        "messageinbound_hostuser",
        "messageinbound_mailbox",
        "mlbackend_python/password",
        "mnet/openssl",
        "mnet/openssl_history",
        "mod_lesson/password",
        "mod_lti/privatekey",
        "proxypassword",
        "proxyuser",
        "quiz/quizpassword",
        "recaptchaprivatekey",
        "search_solr/alternateserver_password",
        "search_solr/alternatessl_keypassword",
        "search_solr/server_password",
        "search_solr/ssl_keypassword",
        "smtppass",
        "smtpuser",
        "tiny_premium/apikey",
        "url/secretphrase",
    ]
)


@pytest.mark.parametrize("name", [CONTENT, NEWEST])
def test_of_all_settings_of_a_site_only_its_secrets_are_taken_for_some(
    server: Server, name: str
) -> None:
    with undone(server.engine, name) as connection:
        found = read_matching(connection, [SettingPattern(one, "*") for one in ("core", "*")])
    assert len(found) > 2000
    hidden = {str(one) for one in found if one.is_secret}
    assert hidden <= SECRETS
    assert {"smtppass", "enrol_lti/lti_13_privatekey", "url/secretphrase"} <= hidden


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


@pytest.mark.parametrize("name", ["siteidentifier", "rolesactive", "version", "mod_quiz/version"])
def test_what_a_site_says_of_itself_is_not_set(server: Server, name: str) -> None:
    with undone(server.engine, FRESH) as connection:
        with pytest.raises(Refused) as error:
            set_settings(connection, {parse_setting(name): "1"})
        assert error.value.code == "setting.reserved"


@pytest.mark.parametrize(
    "text",
    ["", "/", "a/b/c", "a b", "a'", "mod_quiz/", "/x", "ü", "-x", "x" * 256, "a/" + "x" * 101],
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


def test_settings_are_found_by_wildcards_forced_ones_too(server: Server) -> None:
    forced = {"": {"debug": 1}, "auth_ldap": {"x": "y"}, "auth_none": {"x": ["z"]}}
    with undone(server.engine, CONTENT) as connection:

        def found(*texts: str) -> list[str]:
            patterns = [parse_pattern(text) for text in texts]
            return [str(name) for name in read_matching(connection, patterns, forced)]

        assert "auth_ldap/x" in found("auth_ldap/*")
        assert found("auth_*/x") == ["auth_ldap/x", "auth_none/x"]
        assert found("forcelog?n", "mod_quiz/none") == ["forcelogin", "mod_quiz/none"]
        assert not [name for name in found("*") if "/" in name]
        assert all("/" in name for name in found("*/*"))
        assert len(found("*/*")) > 1500
        assert found("FORCELOG*") == []
        values = read_matching(connection, [parse_pattern("auth_none/x")], forced)
        (value,) = values.values()
        assert (value.effective, value.is_text) == ('["z"]', False)


def test_a_plugins_configuration_is_copied_without_its_version_and_identity(
    server: Server,
) -> None:
    words = ["auth_ldap", "mod_lti", "gradebookroles", "courseswithsummarieslimit"]
    with undone(server.engine, CONTENT) as connection:
        source = read_source(connection, words, secrets=True)
        masked = read_source(connection, words)
    assert "ldap-secret" not in repr(source)
    assert BIND not in masked.values
    assert masked.left[BIND] == "it is a secret"
    with undone(server.engine, FRESH) as connection:
        version = stored(connection, parse_setting("auth_ldap/version"))
        connection.execute("UPDATE {config_plugins} SET value = 'x' WHERE name = 'kid'")
        plan = plan_copy(connection, source, keep=False)
        set_settings(connection, plan.values, create=True)
        assert plan_copy(connection, source, keep=False).values == {}
        assert stored(connection, BIND) == "ldap-secret-a"
        assert stored(connection, parse_setting("auth_ldap/version")) == version
        assert stored(connection, parse_setting("mod_lti/kid")) == "x"
        assert parse_setting("mod_lti/privatekey") in plan.left
        assert parse_setting("gradebookroles") in plan.left
        assert "ldap-secret" not in repr(plan)


def test_a_copy_keeps_what_is_beyond_it_when_told_and_leaves_what_is_forced(
    server: Server,
) -> None:
    with undone(server.engine, FRESH) as connection:
        source = read_source(connection, ["quiz"])
        extra, forced_name = parse_setting("quiz/extra"), parse_setting("quiz/timelimit")
        secret = parse_setting("quiz/password")
        values = {extra: "1", forced_name: "99", secret: "own"}
        set_settings(connection, values, create=True)
        forced = {"quiz": {"timelimit": 5}}
        assert dict(plan_copy(connection, source, forced, keep=True).values) == {}
        plan = plan_copy(connection, source, forced, keep=False)
        assert dict(plan.values) == {extra: None}
        assert plan.left[forced_name] == "it is forced: `vmoodle forced list`"


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("mod_none", "setting.unknown"), ("auth_ldapp", "setting.unknown"),
        ("auth_ldap/none", "setting.unknown"), ("*", "setting.copy"), ("core/*", "setting.copy"),
        ("auth_*/*", "setting.copy"), ("quizz/*", "setting.component"), ("a b", "setting.name"),
    ],
)  # fmt: skip
def test_what_cannot_be_copied_is_told(server: Server, word: str, code: str) -> None:
    with undone(server.engine, FRESH) as connection:
        with pytest.raises((InvalidInput, NotFound)) as error:
            read_source(connection, [word])
        assert error.value.code == code
        if word == "auth_ldapp":
            assert "auth_ldap" in error.value.hint


def test_a_plugin_that_a_site_has_not_is_given_no_configuration(server: Server) -> None:
    with undone(server.engine, FRESH) as connection:
        source = read_source(connection, ["auth_ldap/field_lock_email"])
        connection.execute("DELETE FROM {config_plugins} WHERE plugin = 'auth_ldap'")
        with pytest.raises(NotFound) as error:
            plan_copy(connection, source, keep=True)
        assert error.value.code == "setting.component"


def test_a_theme_and_states_of_plugins_entail_more_than_a_row(server: Server) -> None:
    revision = parse_setting("themerev")
    with undone(server.engine, FRESH) as connection:
        before = stored(connection, revision)
        changes = set_settings(connection, {parse_setting("theme_boost/brandcolor"): "#fff"})
        assert entail(connection, changes) == {Change.SETTINGS, Change.THEMES}
        after = stored(connection, revision)
        assert after != before
        entail(connection, changes)
        assert int(stored(connection, revision) or 0) == int(after or 0) + 1
        changes = set_settings(connection, {parse_setting("enrol_plugins_enabled"): "manual"})
        assert entail(connection, changes) == {Change.SETTINGS, Change.PLUGIN_STATES}
        changes = set_settings(
            connection, {parse_setting("format_weeks/disabled"): "1"}, create=True
        )
        assert Change.PLUGIN_STATES in entail(connection, changes)
        assert entail(connection, ()) == frozenset()
