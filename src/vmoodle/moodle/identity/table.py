"""Every place where a Moodle site keeps its identity, declared once, with reason and source.

Templates (`scrub.py`), copies (`assume.py`) and sanitising (`sanitise.py`) read this one
table. It was drawn up from what differs between fresh installations, and from the tables and
settings of Moodle 3.6 to 5.1; one that a version does not have is passed over. A source is a file
of Moodle and its release.
"""

from __future__ import annotations

from vmoodle.moodle.identity.access import ACCESS_TO_THE_SITE, OPENS_OTHER_SYSTEMS
from vmoodle.moodle.identity.entry import (
    SCHEMA,
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
        Concern.IDENTITY, "keeps the values that are replaced", SCHEMA,
    ),
    *empty(Concern.HISTORY, "keeps old values of settings, secrets too", SCHEMA, "config_log"),
    *empty(
        Concern.HISTORY, "is a log",
        "lib/db/install.xml, admin/tool/log/store/standard/db/install.xml, "
        "admin/tool/monitor/db/install.xml, message/output/email/db/install.xml 4.5",
        "upgrade_log", "logstore_standard_log", "task_log",
        "log", "log_queries", "mnet_log", "portfolio_log", "profiling", "backup_logs",
        "tool_monitor_history", "tool_monitor_events", "infected_files", "sms_messages",
        "analytics_models_log", "messageinbound_messagelist", "message_email_messages",
    ),
    *empty(
        Concern.HISTORY, "is a backup the original was making", SCHEMA,
        "backup_controllers", "backup_courses",
    ),
    *empty(
        Concern.HISTORY, "counts what people did",
        "lib/db/install.xml, blocks/recent_activity/db/install.xml, "
        "blocks/recentlyaccesseditems/db/install.xml 4.5", "user_lastaccess", "stats_daily",
        "stats_monthly", "stats_weekly", "stats_user_daily", "stats_user_monthly",
        "stats_user_weekly", "block_recent_activity", "block_recentlyaccesseditems",
    ),
    *empty(
        Concern.HISTORY, "is an index that Moodle makes again",
        "lib/db/install.xml, search/engine/simpledb/db/install.xml 4.5",
        "search_index_requests", "search_simpledb_index",
    ),
    *empty(
        Concern.HISTORY, "was learnt from the original's people", SCHEMA,
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
    *empty(Concern.HISTORY, "is work in progress", SCHEMA, "events_queue", "events_queue_handlers"),
    *empty(
        Concern.PERSONAL, "is from and to people",
        "lib/db/install.xml, message/output/popup/db/install.xml, mod/chat/db/install.xml 4.5",
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
        Concern.HISTORY, "says when and from where people came", SCHEMA,
    ),
)  # fmt: skip

KEPT_ON_PURPOSE: tuple[Entry, ...] = (
    keep(
        Settings("core", (
            "siteguest", "siteadmins", "mnet_localhost_id", "mnet_all_hosts_id", "allversionshash",
            "allcomponenthash", "version", "release", "branch", "rolesactive",
        )),
        "ids and code versions are the same in a copy on the same code",
        "lib/db/install.php, lib/upgradelib.php 4.5",
    ),
    keep(
        Columns("user", ("password",)),
        "people that are kept log in as before; hashes cannot be turned back. The administrator's"
        " is replaced, without people all others go", "lib/moodlelib.php 4.5",
    ),
    keep(
        Columns("event", ("uuid",)),
        "is the other calendar's id of an imported event; without it each import doubles them",
        SCHEMA,
    ),
    keep(
        Columns("badge", ("issuerurl",)), "is an address in content: moving a site rewrites it",
        SCHEMA,
    ),
    keep(
        Columns("message_conversations", ("convhash",)),
        "is made of the ids of people; it goes with them", SCHEMA,
    ),
    keep(Columns("course_request", ("password",)), "is a key of a course, for people", SCHEMA),
    keep(Columns("enrol", ("password",)), "is a key of a course, chosen by its teacher", SCHEMA),
    keep(
        Columns("groups", ("enrolmentkey",)), "is a key of a course, chosen by its teacher",
        SCHEMA,
    ),
    keep(
        Columns("lesson", ("password",)), "is a key of an activity, chosen by its teacher",
        "mod/lesson/db/install.xml 4.5",
    ),
    keep(
        Columns("lesson_overrides", ("password",)), "is a key of an activity",
        "mod/lesson/db/install.xml 4.5",
    ),
    keep(
        Columns("quiz", ("password",)), "is a key of an activity, chosen by its teacher",
        "mod/quiz/db/install.xml 4.5",
    ),
    keep(
        Columns("quiz_overrides", ("password",)), "is a key of an activity",
        "mod/quiz/db/install.xml 4.5",
    ),
    keep(
        Columns("quizaccess_seb_quizsettings", ("quitpassword",)), "is a key of an activity",
        "mod/quiz/accessrule/seb/db/install.xml 4.5"
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
