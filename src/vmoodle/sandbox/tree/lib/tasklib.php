<?php

// Scheduled and ad hoc tasks: when they are due, and a run of them that does nothing but keep the books.

declare(strict_types=1);

/** Values that one field of a schedule allows. */
function task_field_values(string $field, int $least, int $most): array
{
    $values = [];
    foreach (explode(',', $field) as $part) {
        [$range, $step] = explode('/', $part . '/1');
        [$from, $to] = $range === '*' ? [$least, $most] : explode('-', "$range-$range");
        for ($value = (int)$from; $value <= min((int)$to, $most); $value += max(1, (int)$step)) {
            $values[] = $value;
        }
    }
    return $values;
}

/** First time after a moment at which a schedule is due, in seconds since 1970. */
function task_next_time(array $times, int $after): int
{
    $minutes = task_field_values($times['minute'], 0, 59);
    $hours = task_field_values($times['hour'], 0, 23);
    $days = task_field_values($times['day'], 1, 31);
    $months = task_field_values($times['month'], 1, 12);
    $weekdays = array_map(static fn(int $day): int => $day % 7, task_field_values($times['dayofweek'], 0, 7));
    $date = (new DateTimeImmutable("@$after"))->setTimezone(new DateTimeZone(date_default_timezone_get()));
    for ($passed = 0; $passed < 1500; $passed++) {
        $day = $date->modify("+$passed days");
        $fits = in_array((int)$day->format('j'), $days, true) && in_array((int)$day->format('n'), $months, true)
            && in_array((int)$day->format('w'), $weekdays, true);
        foreach ($fits ? $hours : [] as $hour) {
            foreach ($minutes as $minute) {
                $time = $day->setTime($hour, $minute)->getTimestamp();
                if ($time > $after) {
                    return $time;
                }
            }
        }
    }
    return $after + 86400;
}

/** Schedule of a task, after what config.php forces in $CFG->scheduled_tasks: exact names before wildcards. */
function task_schedule(stdClass $task): array
{
    global $CFG;
    $times = array_intersect_key((array)$task, array_flip(['minute', 'hour', 'day', 'month', 'dayofweek', 'disabled']));
    foreach ((array)($CFG->scheduled_tasks ?? []) as $pattern => $forced) {
        $exact = $pattern === $task->classname;
        $wild = '/^' . str_replace('\*', '.*', preg_quote((string)$pattern, '/')) . '$/';
        if (!$exact && !preg_match($wild, $task->classname)) {
            continue;
        }
        if (isset($forced['schedule'])) {
            $fields = preg_split('/\s+/', trim($forced['schedule']));
            $times = array_combine(['minute', 'hour', 'day', 'month', 'dayofweek'], $fields) + $times;
        }
        $times['disabled'] = $forced['disabled'] ?? $times['disabled'];
        if ($exact) {
            break;
        }
    }
    return $times;
}

/** Run every task that is due once; return how many ran. */
function tasks_run_due(): int
{
    global $DB;
    $now = time();
    $ran = 0;
    foreach ($DB->get_records('task_scheduled', ['disabled' => 0], 'lastruntime, id') as $task) {
        $due = (int)$task->nextruntime < $now && (int)$task->lastruntime < $now;
        // A task of a disabled plugin is passed over, and its time stays as it is.
        if ($due && empty(task_schedule($task)['disabled']) && task_component_enabled($task->component)) {
            task_run_scheduled($task);
            $ran++;
        }
    }
    return $ran + tasks_run_adhoc();
}

/** Whether a component is one whose tasks run: activity modules can be disabled, here no other plugin can. */
function task_component_enabled(string $component): bool
{
    global $DB;
    if (!str_starts_with($component, 'mod_')) {
        return true;
    }
    $visible = $DB->get_field('modules', 'visible', ['name' => substr($component, 4)]);
    return $visible === null || $visible === false || (int)$visible === 1;
}

function task_run_scheduled(stdClass $task): void
{
    global $DB;
    cli_writeln("Execute scheduled task: $task->classname");
    $start = microtime(true);
    $DB->update_record('task_scheduled', ['id' => $task->id, 'timestarted' => time(), 'hostname' => gethostname(), 'pid' => getmypid()]);
    $DB->update_record('task_scheduled', ['id' => $task->id, 'lastruntime' => time(), 'faildelay' => 0,
        'nextruntime' => task_next_time(task_schedule($task), time()), 'timestarted' => null, 'hostname' => null, 'pid' => null]);
    task_log(0, $task, $start, 0);
    cli_writeln("Scheduled task complete: $task->classname");
}

/**
 * Run ad hoc tasks that are due; one whose data say `"fail": true` fails and is tried later.
 *
 * With `"sleep": N` it takes so many seconds, with `"print": N` it prints so many megabytes, and with `"leave": true` it
 * leaves a process behind that is in a session of its own.
 */
function tasks_run_adhoc(?string $class = null, ?int $limit = null, array $where = []): int
{
    global $DB;
    $ran = 0;
    foreach ($DB->get_records('task_adhoc', $where, 'nextruntime, id') as $task) {
        $waits = !$where && ((int)$task->nextruntime >= time() || $task->timestarted !== null);
        if ($waits || $task->attemptsavailable === '0' || ($class !== null && ltrim($class, '\\') !== ltrim($task->classname, '\\'))) {
            continue;
        }
        if ($limit !== null && $ran >= $limit) {
            break;
        }
        cli_writeln("Execute adhoc task: $task->classname");
        $start = microtime(true);
        $data = (array)json_decode((string)$task->customdata, true);
        $DB->update_record('task_adhoc', ['id' => $task->id, 'timestarted' => time(), 'hostname' => gethostname(),
            'pid' => getmypid()]);
        task_do($data);
        $failed = !empty($data['fail']);
        if ($failed) {
            $delay = min(86400, max(60, 2 * (int)$task->faildelay));
            $left = $task->attemptsavailable === null ? null : (int)$task->attemptsavailable - 1;
            $DB->update_record('task_adhoc', ['id' => $task->id, 'faildelay' => $delay, 'nextruntime' => time() + $delay,
                'attemptsavailable' => $left, 'timestarted' => null, 'hostname' => null, 'pid' => null]);
        } else {
            $DB->delete_records('task_adhoc', ['id' => $task->id]);
        }
        task_log(1, $task, $start, (int)$failed);
        cli_writeln('Adhoc task ' . ($failed ? 'failed' : 'complete') . ": $task->classname");
        $ran++;
    }
    return $ran;
}

/** Do what the data of an ad hoc task say. */
function task_do(array $data): void
{
    if (!empty($data['leave']) && pcntl_fork() === 0) {
        posix_setsid();
        sleep(600);
        exit(0);
    }
    for ($megabyte = 0; $megabyte < (int)($data['print'] ?? 0); $megabyte++) {
        echo str_repeat('x', 999999) . "\n";
    }
    $until = microtime(true) + (float)($data['sleep'] ?? 0);
    while (microtime(true) < $until) {
        usleep(20000);
    }
}

function task_log(int $type, stdClass $task, float $start, int $result): void
{
    global $DB;
    $DB->insert_record('task_log', ['type' => $type, 'component' => $task->component,
        'classname' => ltrim($task->classname, '\\'), 'userid' => 0, 'timestart' => sprintf('%.6F', $start),
        'timeend' => sprintf('%.6F', microtime(true)), 'dbreads' => 0, 'dbwrites' => 2, 'result' => $result,
        'output' => $result ? 'The task failed.' : 'The sandbox has nothing to do here.',
        'hostname' => gethostname(), 'pid' => getmypid()]);
}

/** Stop with status 1 when cron may not run: maintenance, a pending upgrade, cron switched off. */
function tasks_require_open_site(bool $force): void
{
    if (CLI_MAINTENANCE) {
        cli_writeln('The site is in CLI maintenance mode, no task runs.');
        exit(1);
    }
    if (moodle_needs_upgrading()) {
        cli_writeln('An upgrade is pending (upgrade pending), no task runs.');
        exit(1);
    }
    if (!get_config('core', 'cron_enabled') && !$force) {
        cli_writeln('Cron is disabled, --force runs it nevertheless.');
        exit(1);
    }
}
