"""The identity table, first part: what marks one site, and what runs for it."""

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
        "names the site to hubs, inbound mail, LTI and its own caches",
        "lib/moodlelib.php 4.5", create=True,
    ),
    regenerate(
        Settings("core", ("calendar_exportsalt",)), "salt",
        "signs the addresses under which calendars are exported",
        "admin/settings/appearance.php 4.5", create=True,
    ),
    regenerate(
        Settings("core", ("badges_badgesalt",)), "badge_salt",
        "hashes the recipients of badges", "admin/settings/badges.php 4.5", create=True,
    ),
    regenerate(
        Settings("core", ("noreplyaddress",)), "noreply", "is made of the site's host",
        "admin/settings/server.php 4.5"
    ),
    regenerate(
        Settings("core", ("supportemail",)), "admin_email",
        "is the address of the administrator", "admin/settings/server.php 4.5",
    ),
    regenerate(
        Settings("core", ("badges_defaultissuercontact",), "value <> ''"), "admin_email",
        "is the support address at installation (admin/settings/badges.php)",
        "admin/settings/badges.php 4.5",
    ),
    regenerate(
        Settings("core", ("badges_defaultissuername",), "value <> ''"), "name",
        "is the site's name at installation (admin/settings/badges.php)",
        "admin/settings/badges.php 4.5",
    ),
    regenerate(
        Settings("core", ("chat_serverhost",)), "host", "is the site's host (up to 4.5)",
        "mod/chat/settings.php 4.5"
    ),
    regenerate(
        Settings(
            "core", ("geoip2file",), "value NOT LIKE '/usr/%' AND value NOT LIKE '/var/lib/%'"
        ),
        "geoip2file", "is a path in the site's moodledata; a machine's own file is no identity",
        "admin/settings/location.php 4.5",
    ),
    regenerate(
        Settings("mod_lti", ("kid",)), "kid", "names the key with which the site signs LTI",
        "mod/lti/upgradelib.php 4.5"
    ),
    regenerate(
        Settings("mod_lti", ("privatekey",)), "rsa_key",
        "signs LTI launches; tools would take the copy for the original",
        "mod/lti/upgradelib.php 4.5",
    ),
    regenerate(
        Settings("enrol_lti", ("lti_13_kid",)), "kid", "names the key of LTI as a tool",
        "enrol/lti/upgradelib.php 4.5"
    ),
    regenerate(
        Settings("enrol_lti", ("lti_13_privatekey",)), "rsa_key",
        "signs what the site says as an LTI tool", "enrol/lti/upgradelib.php 4.5",
    ),
    regenerate(
        Settings("auth_shibboleth", ("auth_instructions",)), "shibboleth",
        "the default text holds the site's address", "auth/shibboleth/settings.php 4.5",
    ),
    regenerate(
        Columns("course", ("fullname",), "category = 0"), "name", "is the name of the site",
        SCHEMA, value="Template",
    ),
    regenerate(
        Columns("course", ("shortname",), "category = 0"), "shortname",
        "is the short name of the site", SCHEMA, value="template",
    ),
    regenerate(
        Columns("course", ("summary",), "category = 0"), "summary", "describes the site", SCHEMA
    ),
    regenerate(
        Columns(
            "adminpresets", ("site",),
            "site IN (SELECT wwwroot FROM {mnet_host} WHERE id = :localhost)",
        ),
        "wwwroot", "holds the site's address; presets of other sites keep theirs", SCHEMA,
    ),
    regenerate(
        Columns("mnet_host", ("wwwroot",), "id = :localhost"), "wwwroot",
        "is the name under which the site speaks to its peers", "mnet/environment.php 4.5",
    ),
    blank(
        Columns(
            "mnet_host",
            ("name", "public_key", "public_key_expires", "last_connect_time", "last_log_id"),
            "id = :localhost",
        ),
        Concern.IDENTITY, "Moodle makes a new key at its first start without one",
        "mnet/environment.php 4.5",
    ),
    put(
        Columns("mnet_host", ("ip_address",), "id = :localhost"), "UNKNOWN", Concern.IDENTITY,
        "is the machine's address; Moodle writes this where it cannot tell",
        "lib/db/install.php 4.5",
    ),
    delete(
        Settings("mnet", ("openssl", "openssl_history")), Concern.IDENTITY,
        "is the key pair with which the site signs to its peers", "mnet/environment.php 4.5",
    ),
    delete(
        Table("mnet_host2service", "hostid NOT IN (:localhost, :allhosts)"), Concern.CREDENTIAL,
        "peers trust the site that was copied, not the copy", SCHEMA,
    ),
    blank(
        Columns(
            "mnet_host", ("public_key", "public_key_expires"), "id NOT IN (:localhost, :allhosts)"
        ),
        Concern.CREDENTIAL, "is a peer's key; the row stays for the users that came from there",
        SCHEMA,
    ),
    *empty(
        Concern.IDENTITY, "is the site's registration at hubs", SCHEMA,
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
        Concern.IDENTITY, "is made at first use, for this site alone",
        "lib/classes/hub/registration.php, repository/lib.php 4.5",
    ),
    delete(
        Settings("core_h5p", ("site_uuid",)), Concern.IDENTITY, "names the site to the H5P hub",
        "h5p/classes/core.php 4.5",
    ),
    delete(
        Settings("tool_mobile", ("sitesubscriptionkey",)), Concern.IDENTITY,
        "is the site's subscription to the mobile app", "admin/tool/mobile/classes/api.php 4.5",
    ),
    delete(
        Settings("tool_brickfield", ("key", "hash", "id")), Concern.IDENTITY,
        "is the site's registration at Brickfield",
        "admin/tool/brickfield/classes/registration.php 4.5",
    ),
    blank(
        Settings("core", ("airnotifieraccesskey",)), Concern.IDENTITY,
        "is given to one site for its notifications to phones",
        "message/output/airnotifier/lib.php 4.5",
    ),
    regenerate(
        Columns("enrol_lti_tools", ("secret",)), "row_secret",
        "is shared with the platforms of the site that was copied", "enrol/lti/db/install.xml 4.5",
    ),
    regenerate(
        Columns("enrol_lti_tools", ("uuid",), "uuid IS NOT NULL"), "row_uuid",
        "names a published tool to platforms", "enrol/lti/db/install.xml 4.5",
    ),
    regenerate(
        Columns("lti", ("servicesalt",), "servicesalt IS NOT NULL"), "row_salt",
        "signs the ids by which a tool sends grades back", "mod/lti/db/install.xml 4.5",
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
        Concern.STATE, "belongs to an upgrade or a run of cron of the site that was copied",
        "lib/setup.php, admin/cli/upgrade.php, lib/classes/task/manager.php 4.5",
    ),
    put(
        Settings("core", ("maintenance_enabled",), "value <> '0'"), "0", Concern.STATE,
        "the copy is not under maintenance because the original was",
        "admin/cli/maintenance.php 4.5",
    ),
    blank(
        Settings("core", ("maintenance_message",)), Concern.STATE,
        "tells about the maintenance of the original", "admin/settings/server.php 4.5",
    ),
    delete(
        Settings("tool_task", ("lastcronstart", "lastcroninterval")), Concern.STATE,
        "says when cron last ran, elsewhere", "admin/tool/task/classes/check/cronrunning.php 4.5",
    ),
    *empty(Concern.STATE, "is a lock somebody else holds", SCHEMA, "lock_db"),
    *empty(
        Concern.STATE, "is a cache", "lib/db/install.xml, mod/wiki/db/install.xml, "
        "admin/tool/brickfield/db/install.xml 4.5", "cache_flags", "cache_filters", "wiki_locks",
        "tool_brickfield_cache_acts", "tool_brickfield_cache_check",
    ),
    delete(
        Table("task_adhoc", f"NOT ({_LOCAL_WORK})"), Concern.STATE,
        "the original does its queued work (mails, backups); a copy would do it twice", SCHEMA,
    ),
    blank(
        Columns("task_adhoc", ("timestarted", "hostname", "pid", "faildelay")), Concern.STATE,
        "belongs to a process on another machine", SCHEMA,
    ),
    blank(
        Columns("task_scheduled", ("timestarted", "hostname", "pid")), Concern.STATE,
        "belongs to a process on another machine", SCHEMA,
    ),
    put(
        Columns("task_scheduled", ("faildelay",)), 0, Concern.STATE,
        "a failure elsewhere delays nothing here", SCHEMA,
    ),
    put(
        Columns("task_scheduled", ("lastruntime",)), 0, Concern.HISTORY,
        "in a template no task has run yet, as after an installation", SCHEMA,
    ),
    Entry(
        Columns("task_scheduled", ("minute", "hour", "dayofweek", "nextruntime")), Action.REDRAW,
        Concern.IDENTITY, "copies would all run their nightly tasks in the same minute",
        "lib/classes/task/manager.php 4.5",
    ),
    Entry(
        Settings(
            "core", ("themerev", "jsrev", "templaterev", "langrev", "localcachedirpurged")
        ),
        Action.BUMP, Concern.IDENTITY, "caches made for the original hold its address",
        "lib/db/install.php, lib/classes/string_manager_standard.php, lib/moodlelib.php 4.5",
    ),
    Entry(
        Columns("course", ("cacherev",)), Action.BUMP, Concern.IDENTITY,
        "caches of courses were made for the original", SCHEMA,
    ),
)  # fmt: skip

_ADMIN = "id = :admin"

ADMINISTRATOR: tuple[Entry, ...] = (
    regenerate(
        Columns("user", ("username",), _ADMIN), "admin_user", "is the administrator's login",
        SCHEMA, value="template-admin",
    ),
    regenerate(
        Columns("user", ("password",), _ADMIN), "admin_password",
        "is the administrator's password; a template has none that fits", "lib/moodlelib.php 4.5",
        value="not cached",
    ),
    regenerate(
        Columns("user", ("email",), _ADMIN), "admin_email", "is the administrator's address",
        SCHEMA,
    ),
    put(
        Columns("user", ("auth",), _ADMIN), "manual", Concern.IDENTITY,
        "the new password counts, not another system's", "lib/moodlelib.php 4.5",
    ),
    put(
        Columns("user", ("confirmed",), _ADMIN), 1, Concern.IDENTITY,
        "the administrator logs in at once", "lib/moodlelib.php 4.5",
    ),
    put(
        Columns("user", ("suspended",), _ADMIN), 0, Concern.IDENTITY,
        "the administrator logs in at once", "lib/moodlelib.php 4.5",
    ),
    put(
        Columns("user", ("emailstop",), _ADMIN), 0, Concern.IDENTITY,
        "the new address has not bounced", "lib/moodlelib.php 4.5",
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
        "in a template the administrator is nobody", SCHEMA,
    ),
    put(
        Columns("user", ("lastname",), _ADMIN), "User", Concern.PERSONAL,
        "in a template the administrator is nobody", SCHEMA,
    ),
    blank(
        Columns(
            "user",
            ("idnumber", "phone1", "phone2", "institution", "department", "address", "city",
             "country", "picture", "description", "imagealt", "lastnamephonetic",
             "firstnamephonetic", "middlename", "alternatename", "moodlenetprofile"),
            _ADMIN,
        ),
        Concern.PERSONAL, "in a template the administrator is nobody", SCHEMA,
    ),
)  # fmt: skip
"""The account of the first site administrator; left alone where a copy keeps its own."""
