<?php

// Whether this PHP and this database meet what admin/environment.xml asks.

declare(strict_types=1);

/** What is missing for a release, one text each; an empty list means that all is well. */
function environment_problems(string $release, ?string $installed = null): array
{
    global $CFG, $DB;
    $wanted = environment_of(environment_number($release));
    $problems = [];
    if (version_compare(PHP_VERSION, (string)$wanted->PHP['version'], '<')) {
        $problems[] = "php\nVersion {$wanted->PHP['version']} is needed, this is " . PHP_VERSION . '.';
    }
    foreach ($wanted->PHP_EXTENSIONS->PHP_EXTENSION as $extension) {
        if ((string)$extension['level'] === 'required' && !extension_loaded((string)$extension['name'])) {
            $problems[] = "php_extension {$extension['name']}\nThe extension is needed and not loaded.";
        }
    }
    if ((int)ini_get('max_input_vars') < 5000) {
        $problems[] = "max_input_vars\nThe PHP setting max_input_vars has to be at least 5000.";
    }
    if (environment_bytes((string)ini_get('memory_limit')) < environment_bytes('96M')) {
        $problems[] = "memory_limit\nThe PHP setting memory_limit has to be at least 96M.";
    }
    $vendor = ['mariadb' => 'mariadb', 'mysqli' => 'mysql', 'pgsql' => 'postgres'][$CFG->dbtype];
    foreach ($wanted->DATABASE->VENDOR as $row) {
        $has = environment_number($DB->server_version());
        if ((string)$row['name'] === $vendor && version_compare($has, (string)$row['version'], '<')) {
            $problems[] = "database $vendor\nVersion {$row['version']} is needed, this is $has.";
        }
    }
    if (strlen($CFG->prefix) > 10) {
        $problems[] = "db_prefix\nThe table prefix has more than 10 characters.";
    }
    if ($installed !== null && version_compare(environment_number($installed), (string)$wanted['requires'], '<')) {
        $problems[] = "moodle\nThe upgrade begins at {$wanted['requires']}, the site has $installed.";
    }
    return $problems;
}

/** The entry of a release, or of the newest before it. */
function environment_of(string $release): SimpleXMLElement
{
    global $CFG;
    $best = null;
    foreach (simplexml_load_file($CFG->dirroot . '/admin/environment.xml')->MOODLE as $entry) {
        if (version_compare((string)$entry['version'], $release, '<=')) {
            $best = $entry;
        }
    }
    return $best ?? throw new moodle_exception('admin/environment.xml knows no such release.');
}

function environment_number(string $text): string
{
    return preg_match('/\d+(\.\d+)*/', $text, $found) ? $found[0] : '0';
}

function environment_bytes(string $size): float
{
    $units = ['K' => 1024, 'M' => 1024 ** 2, 'G' => 1024 ** 3];
    return (int)$size < 0 ? INF : (int)$size * ($units[strtoupper(substr($size, -1))] ?? 1);
}

/** Report what is missing and stop, when anything is. */
function environment_require(string $release, ?string $installed = null): void
{
    $problems = environment_problems($release, $installed);
    if (!$problems) {
        return;
    }
    cli_heading('Environment');
    foreach ($problems as $problem) {
        [$what, $why] = explode("\n", $problem, 2);
        echo "!! $what !!\n$why\n\n";
    }
    exit(1);
}
