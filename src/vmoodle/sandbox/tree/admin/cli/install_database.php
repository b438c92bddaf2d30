<?php

// Install the site that config.php describes into its empty database.

declare(strict_types=1);

define('CLI_SCRIPT', true);
define('CACHE_DISABLE_ALL', true);

if (isset($_SERVER['REMOTE_ADDR'])) {
    exit(1);
}
$configfile = __DIR__ . '/../../config.php';
if (!file_exists($configfile)) {
    fwrite(STDERR, "There is no config.php, so there is nothing to install.\n");
    exit(1);
}
require $configfile;
require_once $CFG->libdir . '/clilib.php';
require_once $CFG->libdir . '/installlib.php';
require_once $CFG->libdir . '/environmentlib.php';

$options = cli_options(['lang' => 'en', 'adminuser' => 'admin', 'adminpass' => '', 'adminemail' => '', 'fullname' => '',
    'shortname' => '', 'summary' => '', 'supportemail' => '', 'agree-license' => false, 'help' => false], ['h' => 'help']);
if ($options['help']) {
    cli_help('Install the sandbox into the database of config.php.', [
        '--lang=CODE' => 'language of the site, en',
        '--adminuser=USERNAME' => 'name of the administrator, admin',
        '--adminpass=PASSWORD' => 'password of the administrator',
        '--adminemail=STRING' => 'address of the administrator',
        '--fullname=STRING' => 'name of the site',
        '--shortname=STRING' => 'short name of the site',
        '--summary=STRING' => 'text of the front page',
        '--supportemail=STRING' => 'address for support',
        '--agree-license' => 'agree to the licence',
    ]);
}
if ($DB->get_tables()) {
    cli_error('Database tables already present: the sandbox installs into an empty database only.');
}
if (!$options['agree-license']) {
    cli_error('The licence has to be agreed to, by --agree-license.');
}
if ($options['adminpass'] === true || $options['adminpass'] === '') {
    cli_error('The administrator needs a password, by --adminpass.');
}
foreach (['adminemail', 'supportemail'] as $option) {
    if ($options[$option] !== '' && filter_var($options[$option], FILTER_VALIDATE_EMAIL) === false) {
        cli_error("The value of --$option is no e-mail address.");
    }
}
if (!preg_match('/^[a-z_]+$/', (string)$options['lang'])) {
    $options['lang'] = 'en';
}

$release = null;
require $CFG->dirroot . '/version.php';
environment_require($release);

cli_heading('Setting up the database');
install_site(array_map(static fn(mixed $value): string => is_bool($value) ? '' : (string)$value, $options));
cli_writeln('The installation is complete.');
exit(0);
