"""The identity table, second part: what lets into a site, and into other systems from it."""

from __future__ import annotations

from vmoodle.moodle.identity.entry import (
    SCHEMA,
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
from vmoodle.moodle.identity.secret_names import SECRET_NAMES

_FILLED = "value NOT IN ('', '0', '1') AND name NOT LIKE 'field!_%' ESCAPE '!'"
_FILLED_ROW = (
    "(name LIKE '%pass%' OR name LIKE '%secret%' OR name LIKE '%token%' OR name LIKE '%key')"
    " AND value NOT IN ('', '0', '1')"
)

ACCESS_TO_THE_SITE: tuple[Entry, ...] = (
    *empty(Concern.ACCESS, "is somebody's open session", SCHEMA, "sessions", "mnet_session"),
    *empty(
        Concern.ACCESS, "is a key that opens the site without a password", SCHEMA,
        "external_tokens", "user_private_key", "user_password_resets", "messageinbound_datakeys",
    ),
    *empty(
        Concern.ACCESS, "is a person's phone; a copy must not send to it",
        "lib/db/install.xml, message/output/airnotifier/db/install.xml 4.5",
        "user_devices", "message_airnotifier_devices",
    ),
    *empty(
        Concern.ACCESS, "is a token other systems gave to this site or its people",
        "lib/db/install.xml, mod/lti/db/install.xml, portfolio/mahara/db/install.xml 4.5",
        "oauth2_access_token", "oauth2_refresh_token", "oauth2_system_account",
        "lti_access_tokens", "badge_backpack_oauth2", "portfolio_mahara_queue",
    ),
    *empty(
        Concern.ACCESS, "links an account with another system's; it is made anew at the next login",
        "auth/oauth2/db/install.xml, auth/lti/db/install.xml 4.5",
        "auth_oauth2_linked_login", "auth_lti_linked_login",
    ),
    *empty(
        Concern.ACCESS, "is a badge backpack of a person, with its password", SCHEMA,
        "badge_backpack", "badge_external", "badge_external_identifier",
    ),
    *empty(
        Concern.ACCESS, "is a platform that trusts this site as its LTI tool",
        "enrol/lti/db/install.xml 4.5",
        "enrol_lti_app_registration", "enrol_lti_deployment", "enrol_lti_context",
        "enrol_lti_resource_link", "enrol_lti_user_resource_link", "enrol_lti_users",
        "enrol_lti_tool_consumer_map", "enrol_lti_lti2_consumer", "enrol_lti_lti2_context",
        "enrol_lti_lti2_nonce", "enrol_lti_lti2_resource_link", "enrol_lti_lti2_share_key",
        "enrol_lti_lti2_tool_proxy", "enrol_lti_lti2_user_result",
    ),
    *empty(
        Concern.ACCESS, "is the second factor of a person, registered with this site's address",
        "admin/tool/mfa/db/install.xml 4.5", "tool_mfa", "tool_mfa_auth", "tool_mfa_secrets",
    ),
    blank(
        Columns("user", ("secret",), "secret <> ''"), Concern.ACCESS,
        "confirms a new account by mail", SCHEMA,
    ),
    delete(
        Table("user_preferences", "name IN ('newemail', 'newemailkey', 'newemailattemptsleft')"),
        Concern.ACCESS, "confirms a new address by mail", "user/edit.php 4.5",
    ),
    *empty(
        Concern.CREDENTIAL, "holds the hashes of earlier passwords", SCHEMA, "user_password_history"
    ),
)  # fmt: skip

OPENS_OTHER_SYSTEMS: tuple[Entry, ...] = (
    blank(
        Settings("core", (
            "smtppass", "smtpuser", "proxypassword", "proxyuser", "cronremotepassword",
            "messageinbound_hostpass", "messageinbound_hostuser", "messageinbound_mailbox",
            "recaptchapublickey", "recaptchaprivatekey", "googlemapkey3", "geopluginapikey",
            "geoipmaxmindlicensekey", "geoipmaxmindaccid", "bigbluebuttonbn_shared_secret",
        )),
        Concern.CREDENTIAL, "opens a mail server, a proxy or a service",
        "admin/settings/server.php, admin/settings/security.php, admin/settings/plugins.php,"
        " admin/settings/location.php, admin/tool/messageinbound/settings.php,"
        " mod/bigbluebuttonbn/classes/settings.php 4.5",
    ),
    blank(
        Settings("*", SECRET_NAMES, _FILLED), Concern.CREDENTIAL,
        "has the name of a secret: also in plugins nobody listed",
        "lib/adminlib.php 4.5",
    ),
    blank(
        Settings("core", SECRET_NAMES, _FILLED), Concern.CREDENTIAL,
        "has the name of a secret", "lib/adminlib.php 4.5",
    ),
    blank(
        Settings("*", ("bind_dn", "dbuser", "server_username"), "value <> ''"), Concern.CREDENTIAL,
        "is the account the site uses on another system",
        "enrol/ldap/settings.php, enrol/database/settings.php, "
        "search/engine/solr/classes/engine.php 4.5",
    ),
    blank(
        Settings("auth_db", ("pass", "user")), Concern.CREDENTIAL, "opens another database",
        "auth/db/settings.php 4.5"
    ),
    delete(
        Settings("backup", ("backup_encryptkey",)), Concern.CREDENTIAL,
        "encrypts people's data in backups", "backup/util/plan/restore_step.class.php 4.5",
    ),
    blank(
        Settings("*", ("matrixuserid",), _FILLED), Concern.CREDENTIAL,
        "has the name of a secret",
        "communication/provider/matrix/classes/matrix_user_manager.php 4.5",
    ),
    blank(
        Columns("oauth2_issuer", ("clientid", "clientsecret")), Concern.CREDENTIAL,
        "is this site's account at a login service, bound to its address", SCHEMA,
    ),
    blank(
        Columns("oauth2_issuer", ("systememail",)), Concern.CREDENTIAL,
        "is the address of an account at a login service", SCHEMA,
    ),
    put(
        Columns("oauth2_issuer", ("enabled",)), 0, Concern.CREDENTIAL,
        "without its secret it only fails", SCHEMA,
    ),
    put(
        Columns("ai_providers", ("config",)), "{}", Concern.CREDENTIAL, "holds API keys",
        "lib/db/install.xml 5.1"
    ),
    put(
        Columns("ai_providers", ("enabled",)), 0, Concern.CREDENTIAL,
        "without its key it only fails", "lib/db/install.xml 5.1",
    ),
    put(
        Columns("payment_gateways", ("config",)), "{}", Concern.CREDENTIAL,
        "takes money into somebody's account", SCHEMA,
    ),
    put(
        Columns("payment_gateways", ("enabled",)), 0, Concern.CREDENTIAL,
        "takes money into somebody's account", SCHEMA,
    ),
    put(
        Columns("sms_gateways", ("config",)), "{}", Concern.CREDENTIAL, "holds API keys", SCHEMA
    ),
    put(
        Columns("sms_gateways", ("enabled",)), 0, Concern.CREDENTIAL,
        "without its key it only fails", SCHEMA,
    ),
    blank(
        Columns("lti", ("resourcekey", "password")), Concern.CREDENTIAL,
        "is this site's account at an LTI tool", "mod/lti/db/install.xml 4.5",
    ),
    blank(
        Columns("lti_types", ("clientid",)), Concern.CREDENTIAL,
        "is this site's account at an LTI tool", "mod/lti/db/install.xml 4.5",
    ),
    blank(
        Columns(
            "lti_types_config", ("value",), "name IN ('resourcekey', 'password', 'servicesalt')"
        ),
        Concern.CREDENTIAL, "is this site's account at an LTI tool", "mod/lti/db/install.xml 4.5",
    ),
    blank(
        Columns("lti_tool_proxies", ("guid", "secret", "toolproxy")), Concern.CREDENTIAL,
        "is this site's contract with an LTI 2 tool", "mod/lti/db/install.xml 4.5",
    ),
    *empty(
        Concern.CREDENTIAL, "is this site's state at LTI tools",
        "mod/lti/db/install.xml 4.5", "lti_tool_settings"
    ),
    blank(
        Columns("repository_instances", ("username", "password")), Concern.CREDENTIAL,
        "opens a repository", SCHEMA,
    ),
    blank(
        Columns("repository_instance_config", ("value",), _FILLED_ROW), Concern.CREDENTIAL,
        "opens a repository", SCHEMA,
    ),
    blank(
        Columns("portfolio_instance_config", ("value",), _FILLED_ROW), Concern.CREDENTIAL,
        "opens a portfolio", SCHEMA,
    ),
    blank(
        Columns("adminpresets_it", ("value",), _FILLED_ROW), Concern.CREDENTIAL,
        "is a copy of a secret setting", "admin/presets/classes/manager.php 4.5",
    ),
    blank(
        Columns("enrol_paypal", ("receiver_email",)), Concern.CREDENTIAL,
        "takes money into somebody's account", "enrol/paypal/db/install.xml 4.5",
    ),
)  # fmt: skip
