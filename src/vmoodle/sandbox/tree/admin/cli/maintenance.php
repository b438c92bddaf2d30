<?php

// Close the site to the web, or open it.

declare(strict_types=1);

define('CLI_SCRIPT', true);

require __DIR__ . '/../../config.php';
require_once $CFG->libdir . '/clilib.php';

$options = cli_options(['enable' => false, 'enablelater' => 0, 'enableold' => false, 'disable' => false, 'help' => false],
    ['h' => 'help']);
if ($options['help']) {
    cli_help('Close the site to the web, or open it; without an option, say which it is.', ['--enable' => 'close it now',
        '--enablelater=MINUTES' => 'close it in so many minutes', '--enableold' => 'close it to all but administrators',
        '--disable' => 'open it']);
}
cli_heading("Maintenance ($CFG->wwwroot)");
$page = $CFG->dataroot . '/climaintenance.html';

if ($options['enablelater']) {
    if (file_exists($page)) {
        cli_writeln('Already enabled.');
        exit(0);
    }
    $time = time() + 60 * (int)$options['enablelater'];
    set_config('maintenance_later', (string)$time);
    cli_writeln('Will be enabled at ' . date('c', $time) . '.');
} else if ($options['enable']) {
    file_exists($page) || enable_cli_maintenance_mode();
    set_config('maintenance_enabled', '0');
    unset_config('maintenance_later');
    cli_writeln('CLI maintenance mode is enabled.');
} else if ($options['enableold']) {
    set_config('maintenance_enabled', '1');
    unset_config('maintenance_later');
    cli_writeln('Maintenance mode is enabled.');
} else if ($options['disable']) {
    set_config('maintenance_enabled', '0');
    unset_config('maintenance_later');
    file_exists($page) && unlink($page);
    cli_writeln('Maintenance mode is disabled.');
} else if (!empty($CFG->maintenance_enabled) || file_exists($page)) {
    cli_writeln('Status: enabled');
} else if (!empty($CFG->maintenance_later)) {
    cli_writeln('Status: will be enabled at ' . date('c', (int)$CFG->maintenance_later));
} else {
    cli_writeln('Status: disabled');
}
