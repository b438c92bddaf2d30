<?php

// Options and messages of the command line scripts.

declare(strict_types=1);

/** Read `--name`, `--name=value`, `--no-name` and their short forms; stop at what is unknown. */
function cli_options(array $long, array $short = [], int $unknownstatus = 1): array
{
    $options = [];
    $unknown = [];
    $arguments = array_slice($_SERVER['argv'] ?? [], 1);
    $end = array_search('--', $arguments, true);
    foreach ($end === false ? $arguments : array_slice($arguments, 0, $end) as $argument) {
        if (!preg_match('/^(--?)([^=]+)(?:=(.*))?$/s', $argument, $found, PREG_UNMATCHED_AS_NULL)) {
            $unknown[] = $argument;
            continue;
        }
        [, $dashes, $key, $value] = $found;
        $key = $dashes === '-' ? ($short[$key] ?? '') : $key;
        if ($value === null && !array_key_exists($key, $long) && str_starts_with($key, 'no-')) {
            $key = substr($key, 3);
            $value = false;
        }
        if (array_key_exists($key, $long)) {
            $options[$key] = $value ?? true;
        } else {
            $unknown[] = $argument;
        }
    }
    if ($unknown) {
        cli_error('The script does not know: ' . implode(' ', $unknown), $unknownstatus);
    }
    return $options + $long;
}

/** List the options a script knows, and stop. */
function cli_help(string $purpose, array $options, int $status = 0): never
{
    echo $purpose . "\n\nOptions:\n";
    foreach ($options as $option => $meaning) {
        echo str_pad("  $option", 32) . $meaning . "\n";
    }
    exit($status);
}

function cli_writeln(string $text): void
{
    echo $text . PHP_EOL;
}

function cli_heading(string $text): void
{
    cli_writeln("== $text ==");
}

function cli_problem(string $text): void
{
    fwrite(STDERR, $text . PHP_EOL);
}

function cli_error(string $text, int $status = 1): never
{
    cli_problem($text . PHP_EOL);
    exit($status);
}

function cli_input(string $prompt): string
{
    cli_writeln($prompt);
    echo ': ';
    return trim((string)fgets(STDIN));
}
