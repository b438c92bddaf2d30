"""The identity table is complete in itself: no thing twice, everything with reason and source."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.trees import on_real_trees

from vmoodle.errors import NotFound
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.identity.entry import Action, Columns, Concern, Entry, Settings, Table
from vmoodle.moodle.identity.people import BOUND, EMPTIED, FILES, ORPHANS
from vmoodle.moodle.identity.sanitise import POLICIES, find_policy
from vmoodle.moodle.identity.table import ENTRIES
from vmoodle.moodle.identity.values import MAKERS

# Files of Moodle, and the release that they were read in.
SOURCE = re.compile(r"[\w.-]+(/[\w.-]+)+(, [\w.-]+(/[\w.-]+)+)* \d\.\d+")
# What differs between fresh installations, or is made later for one site, by name.
LISTED_SETTINGS = [
    "core/siteidentifier", "core/calendar_exportsalt", "core/badges_badgesalt",
    "core/noreplyaddress", "core/supportemail", "core/chat_serverhost", "core/geoip2file",
    "mod_lti/kid", "mod_lti/privatekey", "enrol_lti/lti_13_kid", "enrol_lti/lti_13_privatekey",
    "auth_shibboleth/auth_instructions", "core/reposecretkey", "core/airnotifieraccesskey",
    "core/registered", "core/registrationpending", "core/cronremotepassword", "core/smtppass",
    "core/proxypassword", "core/recaptchapublickey", "core/recaptchaprivatekey",
    "core/googlemapkey3", "core/geopluginapikey", "core/geoipmaxmindlicensekey",
    "core/bigbluebuttonbn_shared_secret", "backup/backup_encryptkey", "mnet/openssl",
    "mnet/openssl_history", "core_h5p/site_uuid", "tool_mobile/sitesubscriptionkey",
    "tool_brickfield/key", "tool_brickfield/hash", "tool_brickfield/id", "auth_db/pass",
    "core/upgraderunning", "core/outagelessupgrade", "core/maintenance_enabled",
    "core/scheduledtaskreset", "core/themerev", "core/jsrev", "core/templaterev",
    "core/langrev", "core/localcachedirpurged",
]  # fmt: skip
LISTED_TABLES = [
    "config_log", "course", "user", "mnet_host", "adminpresets", "task_scheduled", "task_adhoc",
    "registration_hubs", "external_tokens", "user_private_key", "oauth2_issuer",
    "oauth2_access_token", "oauth2_refresh_token", "oauth2_system_account",
    "auth_oauth2_linked_login", "auth_lti_linked_login", "lti_types", "lti_types_config",
    "lti_tool_proxies", "lti", "lti_access_tokens", "enrol_lti_tools",
    "enrol_lti_app_registration", "enrol_lti_deployment", "enrol_lti_lti2_consumer",
    "badge_backpack", "payment_gateways", "sms_gateways", "repository_instances",
    "repository_instance_config", "portfolio_instance_config", "user_devices",
    "message_airnotifier_devices", "tool_mfa", "tool_mfa_secrets", "user_password_resets",
    "user_password_history", "event", "message_conversations", "mnet_session", "sessions",
    "upgrade_log", "logstore_standard_log", "task_log", "log_queries", "cache_flags",
    "cache_filters", "lock_db", "backup_controllers", "backup_logs", "user_lastaccess",
    "stats_daily", "stats_user_daily", "search_index_requests", "search_simpledb_index",
    "analytics_predictions", "analytics_train_samples", "tool_monitor_history", "notifications",
    "messages", "ai_providers", "badge",
]  # fmt: skip


def things(entry: Entry) -> Iterator[tuple[str, ...]]:
    """Yield what an entry acts on, one by one, with the condition that narrows it."""
    place = entry.place
    if isinstance(place, Settings):
        yield from ((place.component, name, place.where) for name in place.names)
    elif isinstance(place, Columns):
        yield from ((place.table, name, place.where) for name in place.names)
    else:
        yield (place.name, "", place.where)


@pytest.mark.parametrize(
    "entries", [ENTRIES, *(policy.own for policy in POLICIES.values())], ids=lambda e: str(len(e))
)
def test_nothing_is_declared_twice(entries: tuple[Entry, ...]) -> None:
    found = Counter(thing for entry in entries for thing in things(entry))
    assert [thing for thing, count in found.items() if count > 1] == []


@pytest.mark.parametrize("name", POLICIES)
def test_every_rule_has_a_reason_and_a_source(name: str) -> None:
    for entry in (*ENTRIES, *POLICIES[name].rules):
        assert len(entry.reason) > 5, entry.label
        assert SOURCE.fullmatch(entry.source), f"{entry.label}: {entry.source}"
    assert all(bound.reason for bound in BOUND)
    assert all(orphan.reason for orphan in (*ORPHANS, *FILES))
    assert all(reason for _table, reason in EMPTIED)


@on_real_trees
def test_every_source_is_a_file_of_its_release(real_tree: Path) -> None:
    tree = MoodleTree.open(real_tree)
    branch = tree.version.branch
    web = {real_tree, real_tree / "public"}
    for entry in {*ENTRIES, *(rule for policy in POLICIES.values() for rule in policy.rules)}:
        files, _separator, release = entry.source.rpartition(" ")
        if branch == "".join(part.rjust(2, "0") for part in release.split(".")).lstrip("0"):
            for name in files.split(", "):
                assert any((root / name).exists() for root in web), f"{entry.label}: {name}"


def test_every_listed_setting_is_declared() -> None:
    declared = {
        f"{entry.place.component}/{name}"
        for entry in ENTRIES
        if isinstance(entry.place, Settings)
        for name in entry.place.names
    }
    assert [name for name in LISTED_SETTINGS if name not in declared] == []


def test_every_listed_table_is_declared() -> None:
    assert set(LISTED_TABLES) - {entry.table for entry in ENTRIES} == set()


def test_what_is_kept_is_said_with_its_reason() -> None:
    kept = [entry for entry in ENTRIES if entry.action is Action.KEEP]
    assert kept
    assert all(entry.concern is Concern.CONTENT for entry in kept)


def test_every_regenerated_value_has_a_maker() -> None:
    kinds = {entry.kind for entry in ENTRIES if entry.action is Action.REGENERATE}
    assert {kind for kind in kinds if not kind.startswith("row_")} == set(MAKERS)


def test_what_is_deleted_whole_is_a_setting_or_has_a_condition() -> None:
    for entry in ENTRIES:
        if entry.action is Action.DELETE:
            assert isinstance(entry.place, Settings) or entry.place.where, entry.label
        if entry.action is Action.EMPTY:
            assert isinstance(entry.place, Table), entry.label


def test_no_rule_is_declared_twice_for_people() -> None:
    bound = Counter((rule.table, rule.column, rule.where) for rule in BOUND)
    hanging = Counter((rule.table, rule.column, rule.where) for rule in (*ORPHANS, *FILES))
    assert [key for key, count in (bound + hanging).items() if count > 1] == []


def test_orphans_fall_after_their_parents() -> None:
    order = [rule.table for rule in ORPHANS]
    for at, rule in enumerate(ORPHANS):
        assert rule.parent not in order[at + 1 :] or rule.parent == rule.table, rule


def test_an_unknown_policy_is_named_with_the_known_ones() -> None:
    with pytest.raises(NotFound) as caught:
        find_policy("nope")
    assert "staging" in caught.value.hint
