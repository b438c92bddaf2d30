<?php

// Sessions in files below the data directory, with a row each for people who are logged in.

declare(strict_types=1);

/** Start the session of a web request and restore who is logged in. */
function session_setup(stdClass $CFG): void
{
    global $USER, $SESSION;
    $USER = (object)['id' => 0];
    $SESSION = new stdClass();
    if (CLI_SCRIPT || WS_SERVER || empty($CFG->version)) {
        defined('NO_MOODLE_COOKIES') || define('NO_MOODLE_COOKIES', true);
    }
    if (defined('NO_MOODLE_COOKIES') && NO_MOODLE_COOKIES) {
        return;
    }
    $directory = session_directory($CFG);
    if (!make_directory($directory) || !is_writable($directory)) {
        throw new moodle_exception('The session directory cannot be written.');
    }
    session_save_path($directory);
    session_name('MoodleSession' . ($CFG->sessioncookie ?? ''));
    session_set_cookie_params([
        'lifetime' => 0,
        'path' => session_cookie_path($CFG),
        'domain' => $CFG->sessioncookiedomain ?? '',
        'secure' => str_starts_with($CFG->wwwroot, 'https:'),
        'httponly' => true,
    ]);
    session_start([
        'use_strict_mode' => true,
        'gc_maxlifetime' => (int)($CFG->sessiontimeout ?? 28800),
        'serialize_handler' => 'php_serialize',
    ]);
    $_SESSION['sesskey'] ??= random_string(10);
    session_restore_user($CFG);
}

function session_directory(stdClass $CFG): string
{
    return !empty($CFG->session_file_save_path) ? $CFG->session_file_save_path : $CFG->dataroot . '/sessions';
}

/** The cookie's path: as configured where it fits the site's address, else the address's own path. */
function session_cookie_path(stdClass $CFG): string
{
    $own = (string)parse_url($CFG->wwwroot, PHP_URL_PATH) . '/';
    $asked = $CFG->sessioncookiepath ?? '';
    return $asked === '/' || ($asked !== '' && str_ends_with($asked, '/') && str_starts_with($own, $asked)) ? $asked : $own;
}

function session_restore_user(stdClass $CFG): void
{
    global $DB, $USER;
    if (empty($_SESSION['userid'])) {
        return;
    }
    $row = $DB->get_record('sessions', ['sid' => session_id(), 'userid' => $_SESSION['userid']]);
    $user = $DB->get_record('user', ['id' => $_SESSION['userid'], 'deleted' => 0, 'suspended' => 0]);
    $limit = time() - (int)($CFG->sessiontimeout ?? 28800);
    if ($row === null || $user === null || (int)$row->timemodified < $limit) {
        unset($_SESSION['userid']);
        return;
    }
    if ((int)$row->timemodified < time() - 20) {
        $DB->set_field('sessions', 'timemodified', time(), ['id' => $row->id]);
    }
    $USER = $user;
}

/** Make the session one of this account, under a new identifier. */
function session_login(stdClass $user): void
{
    global $DB, $USER;
    session_regenerate_id(true);
    $now = time();
    $_SESSION = ['userid' => (int)$user->id, 'sesskey' => random_string(10)];
    $ip = $_SERVER['REMOTE_ADDR'];
    $DB->insert_record('sessions', ['state' => 0, 'sid' => session_id(), 'userid' => $user->id, 'timecreated' => $now,
        'timemodified' => $now, 'firstip' => $ip, 'lastip' => $ip]);
    $DB->update_record('user', ['id' => $user->id, 'lastlogin' => $user->currentlogin, 'currentlogin' => $now,
        'firstaccess' => (int)$user->firstaccess ?: $now, 'lastaccess' => $now, 'lastip' => $ip]);
    log_event('loggedin', (int)$user->id);
    $USER = $DB->get_record('user', ['id' => $user->id]);
}

function session_logout(): void
{
    global $DB, $USER;
    log_event('loggedout', (int)$USER->id);
    $DB->delete_records('sessions', ['sid' => session_id()]);
    $_SESSION = [];
    session_regenerate_id(true);
}

/** End every session of the site. */
function session_destroy_all(): void
{
    global $CFG, $DB;
    $DB->delete_records('sessions');
    foreach (glob(session_directory($CFG) . '/sess_*') ?: [] as $file) {
        @unlink($file);
    }
}

/** Write that a person came or went to the site's log. */
function log_event(string $action, int $userid): void
{
    global $DB;
    $DB->insert_record('logstore_standard_log', ['eventname' => "\\core\\event\\user_$action", 'component' => 'core',
        'action' => $action, 'target' => 'user', 'objecttable' => 'user', 'objectid' => $userid, 'crud' => 'r', 'edulevel' => 0,
        'contextid' => 1, 'contextlevel' => 10, 'contextinstanceid' => 0, 'userid' => $userid, 'courseid' => 0,
        'timecreated' => time(), 'origin' => 'web', 'ip' => $_SERVER['REMOTE_ADDR'] ?? '']);
}
