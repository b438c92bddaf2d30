<?php

// Run ad hoc tasks.

declare(strict_types=1);

define('CLI_SCRIPT', true);

require __DIR__ . '/../../config.php';
require_once $CFG->libdir . '/clilib.php';
require_once $CFG->libdir . '/tasklib.php';

$options = cli_options(['help' => false, 'showsql' => false, 'showdebugging' => false, 'execute' => false, 'keep-alive' => 0,
    'ignorelimits' => false, 'force' => false, 'id' => null, 'classname' => null, 'taskslimit' => null, 'failed' => false],
    ['h' => 'help', 'e' => 'execute', 'k' => 'keep-alive', 'i' => 'ignorelimits', 'f' => 'force', 'c' => 'classname',
    'l' => 'taskslimit']);
$asked = $options['execute'] || $options['id'] || $options['failed'] || $options['classname'] || $options['keep-alive']
    || $options['taskslimit'];
if (!$options['help'] && $asked) {
    tasks_require_open_site((bool)$options['force']);
    $where = $options['id'] ? ['id' => (int)$options['id']] : [];
    $class = $options['classname'] === null ? null : (string)$options['classname'];
    $limit = $options['taskslimit'] === null ? null : (int)$options['taskslimit'];
    $until = time() + (int)$options['keep-alive'];
    if ($options['failed']) {
        foreach ($DB->get_rows('SELECT id FROM {task_adhoc} WHERE faildelay > 0') as $row) {
            tasks_run_adhoc($class, $limit, ['id' => $row['id']]);
        }
        exit(0);
    }
    while (true) {
        tasks_run_adhoc($class, $limit, $where);
        if (time() >= $until || $where) {
            exit(0);
        }
        sleep(1);
    }
}
if (!$options['help']) {
    tasks_require_open_site((bool)$options['force']);
}
cli_help('Run ad hoc tasks.', ['-e, --execute' => 'run those that are due', '-k, --keep-alive=N' => 'go on for N seconds',
    '-i, --ignorelimits' => 'ignore limits', '-f, --force' => 'run even where cron is disabled', '--id=N' => 'run one',
    '-c, --classname=NAME' => 'run those of a class', '-l, --taskslimit=N' => 'run at most N', '--failed' => 'run those that failed']);
