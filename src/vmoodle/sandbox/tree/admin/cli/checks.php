<?php

// Check the site's health; the exit status is Nagios's: 0 well, 1 warning, 2 critical.

declare(strict_types=1);

define('CLI_SCRIPT', true);

require __DIR__ . '/../../config.php';
require_once $CFG->libdir . '/clilib.php';
require_once $CFG->libdir . '/environmentlib.php';

$options = cli_options(['help' => false, 'filter' => '', 'type' => 'status', 'verbose' => false],
    ['h' => 'help', 'f' => 'filter', 'v' => 'verbose', 't' => 'type']);
if ($options['help']) {
    cli_help('Check the health of the site.', ['-f, --filter=TEXT' => 'only checks with this in their name',
        '-t, --type=TYPE' => 'kind of checks: status', '-v, --verbose' => 'show what is well, too']);
}
$silence = time() - (int)get_config('tool_task', 'lastcronstart');
$failed = $DB->get_rows('SELECT COUNT(*) AS n FROM {task_adhoc} WHERE faildelay > 0')[0]['n'];
$checks = [
    'core_environment' => [environment_problems($CFG->release) ? 2 : 0, 'Environment'],
    'core_upgradecheck' => [moodle_needs_upgrading() ? 2 : 0, 'Upgrade'],
    'tool_task_cronrunning' => [$silence > 86400 ? 2 : ($silence > 120 ? 1 : 0), 'Cron running'],
    'tool_task_adhocqueue' => [$failed > 0 ? 1 : 0, 'Ad hoc task queue'],
];
$checks = array_filter($checks, static fn(string $ref): bool => str_contains($ref, (string)$options['filter']), ARRAY_FILTER_USE_KEY);
$labels = ['OK', 'WARNING', 'CRITICAL'];
$worst = 0;
$headline = "OK: all '$options[type]' checks are well";
$lines = '';
foreach ($checks as $ref => [$status, $title]) {
    if ($status > $worst) {
        $worst = $status;
        $headline = "$labels[$status]: $title ($ref)";
    }
    if ($status > 0 || $options['verbose']) {
        $lines .= sprintf("%10s| %s (%s)\n", $labels[$status], $title, $ref);
    }
}
echo "$headline\n$lines";
exit($worst);
