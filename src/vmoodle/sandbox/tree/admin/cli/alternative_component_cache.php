<?php

// Write the list of plugins, with their absolute paths, to a file that many sites share.

declare(strict_types=1);

define('CLI_SCRIPT', true);
define('ABORT_AFTER_CONFIG', true);
define('CACHE_DISABLE_ALL', true);
define('IGNORE_COMPONENT_CACHE', true);

require __DIR__ . '/../../config.php';
require_once $CFG->libdir . '/clilib.php';

$options = cli_options(['file' => false, 'rebuild' => false, 'print' => false, 'help' => false], ['h' => 'help'], 2);
if ($options['help'] || !($options['rebuild'] || $options['file'] || $options['print'])) {
    cli_help('Write the component cache that many sites share.', ['--rebuild' => 'to the file of config.php',
        '--file=PATH' => 'to this file', '--print' => 'to the screen']);
}
$content = component_cache_content();
if ($options['print']) {
    echo $content;
    exit(0);
}
if ($options['rebuild'] && empty($CFG->alternative_component_cache)) {
    cli_problem('config.php sets no $CFG->alternative_component_cache.');
    exit(2);
}
$target = $options['rebuild'] ? $CFG->alternative_component_cache : $options['file'];
if (!is_string($target) || @file_put_contents($target, $content) === false) {
    cli_problem('The file could not be written.');
    exit(1);
}
cli_writeln("File $target was updated");
exit(0);
