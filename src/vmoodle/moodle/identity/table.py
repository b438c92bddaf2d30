"""Every place where a Moodle site keeps its identity, declared once, with reason and source.

Templates (`scrub.py`), copies (`assume.py`) and sanitising (`sanitise.py`) read this one
table. It follows MOODLE.md §2.1 to §2.3 (Moodle 3.6 to 5.1); a table, column or setting that a
version does not have is passed over.
"""

from __future__ import annotations

from vmoodle.moodle.identity.access import ACCESS_TO_THE_SITE, OPENS_OTHER_SYSTEMS
from vmoodle.moodle.identity.entry import (
    DIFFERS,
    KEPT,
    LAZY,
    Action,
    Columns,
    Concern,
    Entry,
    Settings,
    Table,
    blank,
    delete,
    empty,
    keep,
)
from vmoodle.moodle.identity.site import ADMINISTRATOR, OF_THE_SITE, RUNNING

HISTORY: tuple[Entry, ...] = (
    delete(
        Table("config_log", "name IN ('siteidentifier', 'calendar_exportsalt', 'badges_badgesalt',"
              " 'kid', 'privatekey', 'lti_13_kid', 'lti_13_privatekey', 'reposecretkey')"),
        Concern.IDENTITY, "keeps the values that are replaced", DIFFERS,
    ),
    *empty(Concern.HISTORY, "keeps old values of settings, secrets too", DIFFERS, "config_log"),
    *empty(
        Concern.HISTORY, "is a log", LAZY, "upgrade_log", "logstore_standard_log", "task_log",
        "log", "log_queries", "mnet_log", "portfolio_log", "profiling", "backup_logs",
        "tool_monitor_history", "tool_monitor_events", "infected_files", "sms_messages",
        "analytics_models_log", "messageinbound_messagelist", "message_email_messages",
    ),
    *empty(
        Concern.HISTORY, "is a backup the original was making", LAZY,
        "backup_controllers", "backup_courses",
    ),
    *empty(
        Concern.HISTORY, "counts what people did", LAZY, "user_lastaccess", "stats_daily",
        "stats_monthly", "stats_weekly", "stats_user_daily", "stats_user_monthly",
        "stats_user_weekly", "block_recent_activity", "block_recentlyaccesseditems",
    ),
    *empty(
        Concern.HISTORY, "is an index that Moodle makes again", LAZY,
        "search_index_requests", "search_simpledb_index",
    ),
    *empty(
        Concern.HISTORY, "was learnt from the original's people", LAZY,
        "analytics_indicator_calc", "analytics_predict_samples", "analytics_prediction_actions",
        "analytics_predictions", "analytics_train_samples", "analytics_used_analysables",
        "analytics_used_files",
    ),
    *empty(
        Concern.HISTORY, "is a draft somebody was typing", "lib/editor/tiny/plugins/autosave 4.5",
        "tiny_autosave", "editor_atto_autosave",
    ),
    *empty(
        Concern.HISTORY, "holds what people asked an AI service", "ai/classes/manager.php 4.5",
        "ai_action_register", "ai_action_generate_text", "ai_action_generate_image",
        "ai_action_summarise_text", "ai_action_explain_text",
    ),
    *empty(Concern.HISTORY, "is work in progress", LAZY, "events_queue", "events_queue_handlers"),
    *empty(
        Concern.PERSONAL, "is from and to people", LAZY,
        "notifications", "message_popup_notifications", "message_popup", "messages",
        "message_user_actions", "message", "message_read", "chat_messages", "chat_messages_current",
        keep_when="people",
    ),
    Entry(
        Settings("core", ("courserequestnotify", "notifyloginfailures"), "value NOT LIKE '$@%'"),
        Action.BLANK, Concern.PERSONAL, "names people", "lib/adminlib.php 4.5",
        keep_when="people",
    ),
    blank(
        Columns("user", ("lastip", "firstaccess", "lastaccess", "lastlogin", "currentlogin")),
        Concern.HISTORY, "says when and from where people came", LAZY,
    ),
)  # fmt: skip

KEPT_ON_PURPOSE: tuple[Entry, ...] = (
    keep(
        Settings("core", (
            "siteguest", "siteadmins", "mnet_localhost_id", "mnet_all_hosts_id", "allversionshash",
            "allcomponenthash", "version", "release", "branch", "rolesactive",
        )),
        "ids and code versions are the same in a copy on the same code", KEPT,
    ),
    keep(
        Columns("user", ("password",)),
        "people that are kept log in as before; hashes cannot be turned back. The administrator's"
        " is replaced, without people all others go", "MOODLE.md §2.4",
    ),
    keep(
        Columns("event", ("uuid",)),
        "is the other calendar's id of an imported event; without it each import doubles them",
        LAZY,
    ),
    keep(
        Columns("badge", ("issuerurl",)), "is an address in content: moving a site rewrites it",
        "MOODLE.md §2.6",
    ),
    keep(
        Columns("message_conversations", ("convhash",)),
        "is made of the ids of people; it goes with them", LAZY,
    ),
    keep(Columns("course_request", ("password",)), "is a key of a course, for people", KEPT),
    keep(Columns("enrol", ("password",)), "is a key of a course, chosen by its teacher", KEPT),
    keep(Columns("groups", ("enrolmentkey",)), "is a key of a course, chosen by its teacher", KEPT),
    keep(Columns("lesson", ("password",)), "is a key of an activity, chosen by its teacher", KEPT),
    keep(Columns("lesson_overrides", ("password",)), "is a key of an activity", KEPT),
    keep(Columns("quiz", ("password",)), "is a key of an activity, chosen by its teacher", KEPT),
    keep(Columns("quiz_overrides", ("password",)), "is a key of an activity", KEPT),
    keep(
        Columns("quizaccess_seb_quizsettings", ("quitpassword",)), "is a key of an activity", KEPT
    ),
)  # fmt: skip

ENTRIES: tuple[Entry, ...] = (
    *OF_THE_SITE,
    *ACCESS_TO_THE_SITE,
    *ADMINISTRATOR,
    *RUNNING,
    *OPENS_OTHER_SYSTEMS,
    *HISTORY,
    *KEPT_ON_PURPOSE,
)
"""The table, in the order in which it is applied."""
