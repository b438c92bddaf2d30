<?php

// Bootstrap of the sandbox: config.php sets $CFG and includes this file, which makes a site of it.
//
// The order of what happens here is the contract: settings and directories, command line or web, maintenance, the end
// for scripts that only want the settings, then database, configuration, address and session.

declare(strict_types=1);

global $CFG, $DB, $USER, $SESSION, $SITE, $SCRIPT;

if (!isset($CFG)) {
    exit(1);
}

require_once __DIR__ . '/setuplib.php';

$CFG->dirroot = dirname(__DIR__);
if (!is_file(__DIR__ . '/components.json')) {
    $CFG->root = dirname(__DIR__, 2);   // The web root is public/, and what is not served stands above it.
}
setup_defaults($CFG);
setup_dataroot($CFG);

if (!isset($_SERVER['REMOTE_ADDR']) && isset($_SERVER['argv'][0]) && !defined('ABORT_AFTER_CONFIG')) {
    chdir(dirname($_SERVER['argv'][0]));
}
ini_set('precision', '14');
ini_set('serialize_precision', '-1');
date_default_timezone_set(@date_default_timezone_get());

foreach (['CLI_SCRIPT', 'CACHE_DISABLE_ALL', 'AJAX_SCRIPT', 'WS_SERVER'] as $flag) {
    defined($flag) || define($flag, false);
}
setup_require_right_interface();
setup_cli_maintenance($CFG);

if (PHP_VERSION_ID < 80100) {
    echo 'The sandbox needs PHP 8.1, this is ' . PHP_VERSION . ".\n";
    exit(1);
}

if (!isset($CFG->config_php_settings)) {
    $CFG->config_php_settings = (array)$CFG;
    unset($CFG->config_php_settings['forced_plugin_settings']);
    $CFG->forced_plugin_settings ??= [];
}
defined('MOODLE_INTERNAL') || define('MOODLE_INTERNAL', true);
require_once $CFG->libdir . '/componentlib.php';
ini_set('display_errors', empty($CFG->debugdisplay) ? '0' : '1');

if (defined('ABORT_AFTER_CONFIG')) {
    return;
}

require_once $CFG->libdir . '/cachelib.php';
require_once $CFG->libdir . '/configlib.php';
require_once $CFG->libdir . '/authlib.php';
require_once $CFG->libdir . '/outputlib.php';
require_once $CFG->libdir . '/sessionlib.php';
require_once $CFG->libdir . '/dml/database.php';

set_exception_handler('setup_exception_handler');
$DB = moodle_database::connect_to($CFG);
setup_local_bootstrap($CFG);
initialise_cfg();
setup_upgrade_running($CFG);
setup_address($CFG);
$SITE = get_site();
setup_store_local_bootstrap($CFG);
session_setup($CFG);
setup_content_type();
setup_maintenance_later($CFG);
