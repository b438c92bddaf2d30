<?php

// End every session of the site.

declare(strict_types=1);

define('CLI_SCRIPT', true);

require __DIR__ . '/../../config.php';
require_once $CFG->libdir . '/clilib.php';

$options = cli_options(['help' => false], ['h' => 'help'], 2);
if ($options['help']) {
    cli_help('End every session of the site.', []);
}
session_destroy_all();
exit(0);
