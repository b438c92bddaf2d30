"""What sanitising does to a clone, beyond the identity table: declared with reason and source."""

from __future__ import annotations

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
    put,
)

_OTHERS = "id <> :guest AND id NOT IN (:admins)"
_PEOPLE = "id <> :guest"
_REMOVED = "(removed)"


def _setting(name: str, value: str, reason: str, source: str) -> Entry:
    place = Settings("core", (name,))
    return Entry(place, Action.SET, Concern.STATE, reason, source, value=value, create=True)


def _person(column: str, where: str, reason: str) -> Entry:
    return Entry(
        Columns("user", (column,), where), Action.REGENERATE, Concern.PERSONAL, reason, SCHEMA,
        kind=f"person_{column}",
    )  # fmt: skip


MAIL: tuple[Entry, ...] = (
    Entry(
        Settings("core", ("noemailever",)), Action.SET, Concern.STATE,
        "nobody may get mail from a copy; off unless it is diverted", "lib/moodlelib.php 4.5",
        kind="mail_off", create=True,
    ),
    Entry(
        Settings("core", ("divertallemailsto",)), Action.SET, Concern.STATE,
        "diverted mail shows what the copy would have sent", "admin/settings/server.php 4.5",
        kind="mail_divert", create=True,
    ),
    _setting(
        "divertallemailsexcept", "", "no address is left out of the diversion",
        "admin/settings/server.php 4.5",
    ),
    _setting(
        "messageinbound_enabled", "0", "the copy must not fetch the original's mail",
        "admin/tool/messageinbound/settings.php 4.5",
    ),
    put(
        Columns("message_processors", ("enabled",), "name NOT IN ('popup', 'email')"), 0,
        Concern.STATE, "phones and other channels reach people past the mail settings", SCHEMA,
    ),
)  # fmt: skip

CRON_OFF: tuple[Entry, ...] = (
    _setting(
        "cron_enabled", "0", "nothing happens by itself in a copy", "admin/settings/server.php 4.5"
    ),
)

OUT_OF_SIGHT: tuple[Entry, ...] = (
    _setting(
        "allowindexing", "2", "search engines must not find the copy",
        "admin/settings/security.php 4.5",
    ),
    _setting(
        "registerauth", "", "nobody makes an account in a copy", "admin/settings/plugins.php 4.5"
    ),
    _setting(
        "updateautocheck", "0", "the original asks for updates", "admin/settings/server.php 4.5"
    ),
)  # fmt: skip

PEOPLE: tuple[Entry, ...] = (
    _person("username", _OTHERS, "is somebody's login; administrators keep theirs to log in"),
    _person("firstname", _PEOPLE, "is somebody's name"),
    _person("lastname", _PEOPLE, "is somebody's name"),
    _person("email", _PEOPLE, "is somebody's address; example.invalid reaches nobody"),
    put(
        Columns("user", ("password",), _OTHERS), "not cached", Concern.PERSONAL,
        "nobody logs in as a made-up person", "lib/moodlelib.php 4.5",
    ),
    blank(
        Columns(
            "user",
            ("idnumber", "phone1", "phone2", "institution", "department", "address", "city",
             "picture", "description", "imagealt", "lastnamephonetic", "firstnamephonetic",
             "middlename", "alternatename", "moodlenetprofile", "lastip", "icq", "skype", "aim",
             "yahoo", "msn", "url"),
            _PEOPLE,
        ),
        Concern.PERSONAL, "tells who somebody is (the last six up to 3.11)", SCHEMA,
    ),
    blank(
        Columns("user_info_data", ("data",)), Concern.PERSONAL, "is a profile field of the site",
        SCHEMA,
    ),
    put(
        Columns("messages", ("fullmessage",)), _REMOVED, Concern.PERSONAL,
        "is what people wrote to each other; that they did stays", SCHEMA,
    ),
    blank(
        Columns("messages", ("subject", "fullmessagehtml", "smallmessage", "customdata")),
        Concern.PERSONAL, "is what people wrote to each other", SCHEMA,
    ),
    put(
        Columns("chat_messages", ("message",)), _REMOVED, Concern.PERSONAL,
        "is what people wrote to each other", "mod/chat/db/install.xml 4.5",
    ),
    *empty(
        Concern.PERSONAL, "holds names in its text", SCHEMA, "notifications",
        "message_popup_notifications", "message_popup", "message", "message_read",
        "chat_messages_current", "enrol_flatfile", "mnet_sso_access_control",
        "mnetservice_enrol_enrolments", "user_password_history", "tool_recyclebin_course",
        "tool_recyclebin_category",
    ),
    delete(
        Table("post", "module = 'notes'"), Concern.PERSONAL, "is a note about somebody", SCHEMA
    ),
    *empty(Concern.PERSONAL, "is somebody's blog elsewhere", SCHEMA, "blog_external"),
    put(
        Columns("event", ("name",), "eventtype = 'user'"), _REMOVED, Concern.PERSONAL,
        "is in somebody's own calendar", SCHEMA,
    ),
    blank(
        Columns("event", ("description", "location"), "eventtype = 'user'"), Concern.PERSONAL,
        "is in somebody's own calendar", SCHEMA,
    ),
    delete(
        Table("event_subscriptions", "eventtype = 'user'"), Concern.PERSONAL,
        "is the address of somebody's own calendar", SCHEMA,
    ),
    delete(
        Table("user_preferences", "name LIKE 'message!_processor!_%' ESCAPE '!'"),
        Concern.PERSONAL, "holds addresses of people",
        "message/output/email/message_output_email.php 4.5",
    ),
    delete(
        Table("files", "component IN ('user', 'backup', 'tool_recyclebin')"), Concern.PERSONAL,
        "is a picture, a private file, or a backup with people in it", SCHEMA,
    ),
    blank(Columns("files", ("author",)), Concern.PERSONAL, "is somebody's name", SCHEMA),
    blank(
        Columns("tool_dataprivacy_request", ("comments", "dpocomment")), Concern.PERSONAL,
        "is what somebody asked for", "admin/tool/dataprivacy/db/install.xml 4.5",
    ),
    blank(
        Columns("course_request", ("reason",)), Concern.PERSONAL, "is what somebody asked for",
        SCHEMA,
    ),
    Entry(
        Columns("forum_posts", ("message",)), Action.KEEP, Concern.CONTENT,
        "what people wrote in courses stays, under made-up names: it is what the copy is for;"
        " a copy that must not have it is made from a template without people",
        "mod/forum/db/install.xml 4.5",
    ),
)  # fmt: skip
"""Everything that tells who somebody is; what they did in courses stays."""
