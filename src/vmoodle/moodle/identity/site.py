"""The identity table, first part: what marks one site, and what runs for it."""

from __future__ import annotations

from vmoodle.moodle.identity.entry import (
    DIFFERS,
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
    put,
    regenerate,
)

# Queued work that a copy must do itself: what Moodle's installer leaves behind, and the removal of
# activities that are hidden already. The site copied does all the rest; a copy would do it twice.
_LOCAL_WORK = (
    "classname LIKE '%tool_moodlenet_task_post_install'"
    " OR classname LIKE '%core_task_build_installed_themes_task'"
    " OR classname LIKE '%core_course_task_course_delete_modules'"
)

OF_THE_SITE: tuple[Entry, ...] = (
    regenerate(
        Settings("core", ("siteidentifier",)), "siteidentifier",
        "names the site to hubs, inbound mail, LTI and its own caches", DIFFERS, create=True,
    ),
    regenerate(
        Settings("core", ("calendar_exportsalt",)), "salt",
        "signs the addresses under which calendars are exported", DIFFERS, create=True,
    ),
    regenerate(
        Settings("core", ("badges_badgesalt",)), "badge_salt",
        "hashes the recipients of badges", DIFFERS, create=True,
    ),
    regenerate(
        Settings("core", ("noreplyaddress",)), "noreply", "is made of the site's host", DIFFERS
    ),
    regenerate(
        Settings("core", ("supportemail",)), "admin_email",
        "is the address of the administrator", DIFFERS,
    ),
    regenerate(
        Settings("core", ("badges_defaultissuercontact",), "value <> ''"), "admin_email",
        "is the support address at installation (admin/settings/badges.php)", DIFFERS,
    ),
    regenerate(
        Settings("core", ("badges_defaultissuername",), "value <> ''"), "name",
        "is the site's name at installation (admin/settings/badges.php)", DIFFERS,
    ),
    regenerate(
        Settings("core", ("chat_serverhost",)), "host", "is the site's host (up to 4.5)", DIFFERS
    ),
    regenerate(
        Settings(
            "core", ("geoip2file",), "value NOT LIKE '/usr/%' AND value NOT LIKE '/var/lib/%'"
        ),
        "geoip2file", "is a path in the site's moodledata; a machine's own file is no identity",
        DIFFERS,
    ),
    regenerate(
        Settings("mod_lti", ("kid",)), "kid", "names the key with which the site signs LTI", DIFFERS
    ),
    regenerate(
        Settings("mod_lti", ("privatekey",)), "rsa_key",
        "signs LTI launches; tools would take the copy for the original", DIFFERS,
    ),
    regenerate(
        Settings("enrol_lti", ("lti_13_kid",)), "kid", "names the key of LTI as a tool", DIFFERS
    ),
    regenerate(
        Settings("enrol_lti", ("lti_13_privatekey",)), "rsa_key",
        "signs what the site says as an LTI tool", DIFFERS,
    ),
    regenerate(
        Settings("auth_shibboleth", ("auth_instructions",)), "shibboleth",
        "the default text holds the site's address", DIFFERS,
    ),
    regenerate(
        Columns("course", ("fullname",), "category = 0"), "name", "is the name of the site",
        DIFFERS, value="Template",
    ),
    regenerate(
        Columns("course", ("shortname",), "category = 0"), "shortname",
        "is the short name of the site", DIFFERS, value="template",
    ),
    regenerate(
        Columns("course", ("summary",), "category = 0"), "summary", "describes the site", DIFFERS
    ),
    regenerate(
        Columns(
            "adminpresets", ("site",),
            "site IN (SELECT wwwroot FROM {mnet_host} WHERE id = :localhost)",
        ),
        "wwwroot", "holds the site's address; presets of other sites keep theirs", DIFFERS,
    ),
    regenerate(
        Columns("mnet_host", ("wwwroot",), "id = :localhost"), "wwwroot",
        "is the name under which the site speaks to its peers", "MOODLE.md §1.1",
    ),
    blank(
        Columns(
            "mnet_host",
            ("name", "public_key", "public_key_expires", "last_connect_time", "last_log_id"),
            "id = :localhost",
        ),
        Concern.IDENTITY, "Moodle makes a new key at its first start without one", "MOODLE.md §1.1",
    ),
    put(
        Columns("mnet_host", ("ip_address",), "id = :localhost"), "UNKNOWN", Concern.IDENTITY,
        "is the machine's address; Moodle writes this where it cannot tell",
        "lib/db/install.php 4.5",
    ),
    delete(
        Settings("mnet", ("openssl", "openssl_history")), Concern.IDENTITY,
        "is the key pair with which the site signs to its peers", LAZY,
    ),
    delete(
        Table("mnet_host2service", "hostid NOT IN (:localhost, :allhosts)"), Concern.CREDENTIAL,
        "peers trust the site that was copied, not the copy", "MOODLE.md §1.7",
    ),
    blank(
        Columns(
            "mnet_host", ("public_key", "public_key_expires"), "id NOT IN (:localhost, :allhosts)"
        ),
        Concern.CREDENTIAL, "is a peer's key; the row stays for the users that came from there",
        "MOODLE.md §1.7",
    ),
    *empty(
        Concern.IDENTITY, "is the site's registration at hubs", LAZY,
        "registration_hubs", "course_published",
    ),
    delete(
        Settings("hub", ("*",)), Concern.IDENTITY,
        "is what the site told the hub about itself, with name and address of its contact",
        "lib/classes/hub/registration.php 4.5",
    ),
    delete(
        Settings(
            "core", ("registered", "registrationpending", "reposecretkey", "site_regupdateversion")
        ),
        Concern.IDENTITY, "is made at first use, for this site alone", LAZY,
    ),
    delete(
        Settings("core_h5p", ("site_uuid",)), Concern.IDENTITY, "names the site to the H5P hub",
        LAZY,
    ),
    delete(
        Settings("tool_mobile", ("sitesubscriptionkey",)), Concern.IDENTITY,
        "is the site's subscription to the mobile app", LAZY,
    ),
    delete(
        Settings("tool_brickfield", ("key", "hash", "id")), Concern.IDENTITY,
        "is the site's registration at Brickfield", LAZY,
    ),
    blank(
        Settings("core", ("airnotifieraccesskey",)), Concern.IDENTITY,
        "is given to one site for its notifications to phones", LAZY,
    ),
    regenerate(
        Columns("enrol_lti_tools", ("secret",)), "row_secret",
        "is shared with the platforms of the site that was copied", LAZY,
    ),
    regenerate(
        Columns("enrol_lti_tools", ("uuid",), "uuid IS NOT NULL"), "row_uuid",
        "names a published tool to platforms", LAZY,
    ),
    regenerate(
        Columns("lti", ("servicesalt",), "servicesalt IS NOT NULL"), "row_salt",
        "signs the ids by which a tool sends grades back", LAZY,
    ),
    regenerate(
        Columns("bigbluebuttonbn", ("meetingid",), "meetingid <> ''"), "row_meeting",
        "names the room on the conference server; a copy would enter the original's",
        "mod/bigbluebuttonbn/db/install.xml 4.5",
    ),
    regenerate(
        Columns("bigbluebuttonbn", ("moderatorpass",), "moderatorpass <> ''"), "row_moderator",
        "opens the room of the conference", "mod/bigbluebuttonbn/db/install.xml 4.5",
    ),
    regenerate(
        Columns("bigbluebuttonbn", ("viewerpass",), "viewerpass <> ''"), "row_viewer",
        "opens the room of the conference", "mod/bigbluebuttonbn/db/install.xml 4.5",
    ),
    regenerate(
        Columns("bigbluebuttonbn", ("guestlinkuid",), "guestlinkuid <> ''"), "row_guest",
        "lets guests into the room", "mod/bigbluebuttonbn/db/install.xml 4.5",
    ),
    regenerate(
        Columns("bigbluebuttonbn", ("guestpassword",), "guestpassword <> ''"), "row_guestpass",
        "lets guests into the room", "mod/bigbluebuttonbn/db/install.xml 4.5",
    ),
)  # fmt: skip

RUNNING: tuple[Entry, ...] = (
    delete(
        Settings(
            "core",
            ("upgraderunning", "outagelessupgrade", "scheduledtaskreset", "maintenance_later"),
        ),
        Concern.STATE, "belongs to an upgrade or a run of cron of the site that was copied", LAZY,
    ),
    put(
        Settings("core", ("maintenance_enabled",), "value <> '0'"), "0", Concern.STATE,
        "the copy is not under maintenance because the original was", LAZY,
    ),
    blank(
        Settings("core", ("maintenance_message",)), Concern.STATE,
        "tells about the maintenance of the original", LAZY,
    ),
    delete(
        Settings("tool_task", ("lastcronstart", "lastcroninterval")), Concern.STATE,
        "says when cron last ran, elsewhere", "MOODLE.md §6",
    ),
    *empty(Concern.STATE, "is a lock somebody else holds", LAZY, "lock_db"),
    *empty(
        Concern.STATE, "is a cache", LAZY, "cache_flags", "cache_filters", "wiki_locks",
        "tool_brickfield_cache_acts", "tool_brickfield_cache_check",
    ),
    delete(
        Table("task_adhoc", f"NOT ({_LOCAL_WORK})"), Concern.STATE,
        "the original does its queued work (mails, backups); a copy would do it twice", LAZY,
    ),
    blank(
        Columns("task_adhoc", ("timestarted", "hostname", "pid", "faildelay")), Concern.STATE,
        "belongs to a process on another machine", LAZY,
    ),
    blank(
        Columns("task_scheduled", ("timestarted", "hostname", "pid")), Concern.STATE,
        "belongs to a process on another machine", LAZY,
    ),
    put(
        Columns("task_scheduled", ("faildelay",)), 0, Concern.STATE,
        "a failure elsewhere delays nothing here", LAZY,
    ),
    put(
        Columns("task_scheduled", ("lastruntime",)), 0, Concern.HISTORY,
        "in a template no task has run yet, as after an installation", LAZY,
    ),
    Entry(
        Columns("task_scheduled", ("minute", "hour", "dayofweek", "nextruntime")), Action.REDRAW,
        Concern.IDENTITY, "copies would all run their nightly tasks in the same minute", DIFFERS,
    ),
    Entry(
        Settings(
            "core", ("themerev", "jsrev", "templaterev", "langrev", "localcachedirpurged")
        ),
        Action.BUMP, Concern.IDENTITY, "caches made for the original hold its address", LAZY,
    ),
    Entry(
        Columns("course", ("cacherev",)), Action.BUMP, Concern.IDENTITY,
        "caches of courses were made for the original", LAZY,
    ),
)  # fmt: skip

_ADMIN = "id = :admin"

ADMINISTRATOR: tuple[Entry, ...] = (
    regenerate(
        Columns("user", ("username",), _ADMIN), "admin_user", "is the administrator's login",
        DIFFERS, value="template-admin",
    ),
    regenerate(
        Columns("user", ("password",), _ADMIN), "admin_password",
        "is the administrator's password; a template has none that fits", DIFFERS,
        value="not cached",
    ),
    regenerate(
        Columns("user", ("email",), _ADMIN), "admin_email", "is the administrator's address",
        DIFFERS,
    ),
    put(
        Columns("user", ("auth",), _ADMIN), "manual", Concern.IDENTITY,
        "the new password counts, not another system's", "MOODLE.md §2.4",
    ),
    put(
        Columns("user", ("confirmed",), _ADMIN), 1, Concern.IDENTITY,
        "the administrator logs in at once", "MOODLE.md §2.4",
    ),
    put(
        Columns("user", ("suspended",), _ADMIN), 0, Concern.IDENTITY,
        "the administrator logs in at once", "MOODLE.md §2.4",
    ),
    put(
        Columns("user", ("emailstop",), _ADMIN), 0, Concern.IDENTITY,
        "the new address has not bounced", "MOODLE.md §2.4",
    ),
    delete(
        Table(
            "user_preferences",
            "userid = :admin AND (name LIKE 'login!_%' ESCAPE '!' OR name IN"
            " ('auth_forcepasswordchange', 'create_password', 'email_bounce_count',"
            " 'email_send_count'))",
        ),
        Concern.IDENTITY, "was about the password and the address before", "lib/moodlelib.php 4.5",
    ),
    put(
        Columns("user", ("firstname",), _ADMIN), "Admin", Concern.PERSONAL,
        "in a template the administrator is nobody", DIFFERS,
    ),
    put(
        Columns("user", ("lastname",), _ADMIN), "User", Concern.PERSONAL,
        "in a template the administrator is nobody", DIFFERS,
    ),
    blank(
        Columns(
            "user",
            ("idnumber", "phone1", "phone2", "institution", "department", "address", "city",
             "country", "picture", "description", "imagealt", "lastnamephonetic",
             "firstnamephonetic", "middlename", "alternatename", "moodlenetprofile"),
            _ADMIN,
        ),
        Concern.PERSONAL, "in a template the administrator is nobody", DIFFERS,
    ),
)  # fmt: skip
"""The account of the first site administrator; left alone where a copy keeps its own."""
