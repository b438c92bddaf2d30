<?php

// Run the tasks that are due.

declare(strict_types=1);

define('CLI_SCRIPT', true);

require __DIR__ . '/../../config.php';
require_once $CFG->libdir . '/clilib.php';
require_once $CFG->libdir . '/tasklib.php';

$options = cli_options(['help' => false, 'stop' => false, 'list' => false, 'force' => false, 'enable' => false,
    'disable' => false, 'disable-wait' => false, 'keep-alive' => null],
    ['h' => 'help', 's' => 'stop', 'l' => 'list', 'f' => 'force', 'e' => 'enable', 'd' => 'disable', 'w' => 'disable-wait',
    'k' => 'keep-alive']);
if ($options['help']) {
    cli_help('Run the tasks that are due.', ['-s, --stop' => 'tell other runs to stop', '-l, --list' => 'tasks that run now',
        '-f, --force' => 'run even where cron is disabled', '-e, --enable' => 'enable cron', '-d, --disable' => 'disable cron',
        '-w, --disable-wait=N' => 'disable cron and wait up to N seconds, 600', '-k, --keep-alive=N' => 'go on for N seconds']);
}
$running = static fn(): array => $DB->get_rows('SELECT pid, hostname, classname, timestarted FROM {task_scheduled}'
    . ' WHERE timestarted IS NOT NULL UNION ALL SELECT pid, hostname, classname, timestarted FROM {task_adhoc}'
    . ' WHERE timestarted IS NOT NULL');

if ($options['stop']) {
    set_config('scheduledtaskreset', (string)time());
    exit(0);
}
if ($options['enable'] || $options['disable']) {
    set_config('cron_enabled', $options['enable'] ? '1' : '0');
    cli_writeln('Cron is ' . ($options['enable'] ? 'enabled.' : 'disabled.'));
    exit(0);
}
if ($options['list']) {
    cli_writeln('Tasks that run now:');
    foreach ($running() as $task) {
        printf("%7s %-12s %6d s %s\n", $task['pid'], $task['hostname'], time() - (int)$task['timestarted'], $task['classname']);
    }
    exit(0);
}
if ($options['disable-wait']) {
    set_config('cron_enabled', '0');
    cli_writeln('Cron is disabled.');
    $until = time() + ($options['disable-wait'] === true ? 600 : (int)$options['disable-wait']);
    while ($left = count($running())) {
        if (time() >= $until) {
            cli_writeln("$left task(s) still run.");
            exit(1);
        }
        sleep(1);
    }
    cli_writeln('No task runs.');
    exit(0);
}
tasks_require_open_site((bool)$options['force']);

$started = time();
cli_writeln('Server time: ' . date('r', $started));
$last = (int)get_config('tool_task', 'lastcronstart');
set_config('lastcronstart', (string)$started, 'tool_task');
if ($last) {
    set_config('lastcroninterval', (string)max(1, $started - $last), 'tool_task');
}
$keepalive = min(900, (int)($options['keep-alive'] ?? get_config('core', 'cron_keepalive')));
do {
    tasks_run_due();
    cli_writeln('Cron run completed correctly');
    $again = time() < $started + $keepalive;
    $again && sleep(1);
    $reset = (int)$DB->get_field('config', 'value', ['name' => 'scheduledtaskreset']);
} while ($again && $reset <= $started && time() < $started + $keepalive);
exit(0);
