<?php

// List scheduled tasks, run one, switch one on or off.

declare(strict_types=1);

define('CLI_SCRIPT', true);

require __DIR__ . '/../../config.php';
require_once $CFG->libdir . '/clilib.php';
require_once $CFG->libdir . '/tasklib.php';

$options = cli_options(['help' => false, 'list' => false, 'execute' => false, 'showsql' => false, 'showdebugging' => false,
    'force' => false, 'disable' => false, 'enable' => false], ['h' => 'help', 'f' => 'force']);
$command = array_keys(array_filter(array_intersect_key($options, array_flip(['list', 'disable', 'enable', 'execute']))))[0] ?? '';
if ($options['help'] || $command === '') {
    cli_help('Manage scheduled tasks.', ['--list' => 'list them', '--execute=\some\task' => 'run one', '--enable=\some\task' =>
        'switch one on', '--disable=\some\task' => 'switch one off', '-f, --force' => 'run even where cron is disabled']);
}
if ($command === 'list') {
    cli_heading("Scheduled tasks ($CFG->wwwroot)");
    foreach ($DB->get_records('task_scheduled') as $task) {
        $times = task_schedule($task);
        $next = $times['disabled'] ? 'disabled' : ((int)$task->nextruntime > time() ? date('c', (int)$task->nextruntime) : 'ASAP');
        $last = (int)$task->lastruntime ? date('c', (int)$task->lastruntime) : 'never';
        $pattern = "$times[minute] $times[hour] $times[day] $times[month] $times[dayofweek]";
        printf("%-50s %-17s %-40s %s\n", $task->classname, $pattern, $last, $next);
    }
    exit(0);
}
if (moodle_needs_upgrading()) {
    cli_writeln('An upgrade is pending, tasks cannot be managed.');
    exit(1);
}
$class = '\\' . ltrim((string)$options[$command], '\\');
$task = $DB->get_record('task_scheduled', ['classname' => $class]);
if ($task === null) {
    cli_writeln("Task '$class' not found");
    exit(1);
}
if ($command !== 'execute') {
    $DB->update_record('task_scheduled', ['id' => $task->id, 'disabled' => (int)($command === 'disable'), 'customised' => 1]);
    cli_writeln(ucfirst($command) . "d '$class'");
    exit(0);
}
if (!get_config('core', 'cron_enabled') && !$options['force']) {
    cli_writeln('Cron is disabled, --force runs it nevertheless.');
    exit(1);
}
task_run_scheduled($task);
exit(0);
