<?php

// Bring the site's database to the version of the code, or say whether that is needed.

declare(strict_types=1);

if (function_exists('opcache_reset') && !isset($_SERVER['REMOTE_ADDR'])) {
    opcache_reset();
}
define('CLI_SCRIPT', true);
define('CACHE_DISABLE_ALL', true);

require __DIR__ . '/../../config.php';
require_once $CFG->libdir . '/clilib.php';
require_once $CFG->libdir . '/upgradelib.php';
require_once $CFG->libdir . '/environmentlib.php';

$options = cli_options(['allow-unstable' => false, 'help' => false, 'is-maintenance-required' => false, 'is-pending' => false,
    'lang' => 'en', 'maintenance' => true, 'non-interactive' => false, 'set-ui-upgrade-lock' => false,
    'unset-ui-upgrade-lock' => false, 'verbose-settings' => false], ['h' => 'help']);
if ($options['help']) {
    cli_help('Upgrade the site.', ['--allow-unstable' => 'upgrade to a release that is not stable', '--is-pending' =>
        'status 2 when an upgrade is pending, else 0', '--is-maintenance-required' => 'status 2 when it needs maintenance, else 3',
        '--maintenance=false' => 'upgrade without maintenance, where that can be', '--non-interactive' => 'ask nothing',
        '--set-ui-upgrade-lock' => 'let no upgrade begin on the web', '--unset-ui-upgrade-lock' => 'let it']);
}
if (empty($CFG->version)) {
    cli_error('The site is not installed: its database has no version.');
}
$version = $release = $maturity = null;
require $CFG->dirroot . '/version.php';
if ($version < (float)$CFG->version) {
    cli_error('The code is older than the data: a site cannot be downgraded.');
}
if ($options['unset-ui-upgrade-lock']) {
    unset_config('outagelessupgrade');
    cli_writeln('The web may begin upgrades.');
}
$samedirectories = component_directories_hash() === ($CFG->allcomponenthash ?? '');
$maintenance = !in_array($options['maintenance'], [false, 'false', '0', ''], true);
if (!$maintenance) {
    if (!$samedirectories) {
        cli_error('This upgrade needs maintenance.', 2);
    }
    set_config('outagelessupgrade', '1');
}
if (!moodle_needs_upgrading(false)) {
    cli_error("No upgrade is needed for $release ($version).", 0);
}
if ($options['is-maintenance-required']) {
    cli_writeln('An upgrade is pending.');
    if (!$samedirectories) {
        cli_error('It needs maintenance.', 2);
    }
    if ($options['set-ui-upgrade-lock']) {
        set_config('outagelessupgrade', '1');
    }
    cli_error('It needs no maintenance.', 3);
}
if ($options['is-pending']) {
    cli_error('An upgrade is pending.', 2);
}
environment_require($release, $CFG->release);
if ($maturity < MATURITY_STABLE && !$options['allow-unstable'] && $options['non-interactive']) {
    cli_error('This release is not stable, --allow-unstable upgrades to it nevertheless.');
}
if (!$options['non-interactive'] && cli_input("Upgrade from $CFG->release to $release? y/n") !== 'y') {
    exit(1);
}
$from = "$CFG->release ($CFG->version)";
upgrade_site($maintenance);
cli_writeln("Upgraded from $from to $release ($version).");
exit(0);
