<?php

// Show, set or unset a setting.

declare(strict_types=1);

define('CLI_SCRIPT', true);

require __DIR__ . '/../../config.php';
require_once $CFG->libdir . '/clilib.php';

$options = cli_options(['help' => false, 'component' => null, 'name' => null, 'set' => null, 'unset' => false,
    'shell-arg' => false, 'json' => false, 'no-eol' => false], ['h' => 'help']);
if ($options['help']) {
    cli_help('Show a setting (status 3 without it), or all; or change one (status 4 when config.php forces it).', [
        '--component=NAME' => 'component whose setting it is, core',
        '--name=NAME' => 'name of the setting; without it, all of the component',
        '--set=VALUE' => 'value to set',
        '--unset' => 'remove the setting',
        '--shell-arg' => 'quote values for a shell',
        '--json' => 'print JSON',
        '--no-eol' => 'print a single value without a line end',
    ], 2);
}
$component = $options['component'] ?: null;
$name = $options['name'];

if ($options['unset'] || $options['set'] !== null) {
    if (empty($name)) {
        cli_error('A change needs the name of the setting.', 2);
    }
    $forced = $component ? ($CFG->forced_plugin_settings[$component] ?? []) : $CFG->config_php_settings;
    if (array_key_exists($name, $forced)) {
        cli_error('The setting is forced in config.php and cannot be changed.', 4);
    }
    $new = $options['set'] === null ? null : (string)$options['set'];
    $old = get_config($component, $name);
    if ($new !== $old) {
        set_config($name, $new, $component);
        add_to_config_log($name, $old === false ? null : $old, $new, $component);
    }
    exit(0);
}

$values = get_config($component, $name);
if ($name === null) {
    if ($options['json']) {
        cli_writeln(json_encode($values));
        exit(0);
    }
    foreach ($values as $key => $value) {
        cli_writeln("$key\t" . ($options['shell-arg'] ? escapeshellarg($value) : $value));
    }
    exit(0);
}
if ($values === false) {
    cli_error('There is no such setting.', 3);
}
$values = $options['shell-arg'] ? escapeshellarg($values) : $values;
$values = $options['json'] ? json_encode($values) : $values;
echo $values . ($options['no-eol'] ? '' : PHP_EOL);
exit(0);
