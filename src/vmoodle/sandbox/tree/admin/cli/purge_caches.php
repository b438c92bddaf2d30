<?php

// Drop caches, all or the chosen kinds.

declare(strict_types=1);

define('CLI_SCRIPT', true);

require __DIR__ . '/../../config.php';
require_once $CFG->libdir . '/clilib.php';

$options = cli_options(['help' => false, 'muc' => false, 'courses' => false, 'theme' => false, 'lang' => false, 'js' => false,
    'filter' => false, 'other' => false], ['h' => 'help'], 2);
if ($options['help']) {
    cli_help('Drop caches: those chosen, or all.', ['--muc' => 'cached values', '--courses[=IDS]' => 'caches of courses',
        '--theme' => 'themes', '--lang' => 'texts', '--js' => 'scripts', '--filter' => 'filtered texts', '--other' => 'files']);
}
purge_caches($options);
exit(0);
