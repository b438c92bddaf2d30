<?php

// Set the password of a local account.

declare(strict_types=1);

define('CLI_SCRIPT', true);

require __DIR__ . '/../../config.php';
require_once $CFG->libdir . '/clilib.php';

$options = cli_options(['help' => false, 'username' => '', 'password' => '', 'ignore-password-policy' => false],
    ['h' => 'help', 'u' => 'username', 'p' => 'password', 'i' => 'ignore-password-policy']);
if ($options['help']) {
    cli_help('Set the password of a local account.', ['-u, --username=NAME' => 'account, asked for when left out',
        '-p, --password=PASSWORD' => 'new password, asked for when left out', '-i, --ignore-password-policy' => 'take any password']);
}
$username = $options['username'] === '' ? cli_input('Username') : (string)$options['username'];
$where = ['auth' => 'manual', 'username' => $username, 'mnethostid' => $CFG->mnet_localhost_id];
$user = $DB->get_record('user', $where);
if ($user === null) {
    cli_error("There is no local account '$username'.");
}
$password = $options['password'] === '' ? cli_input('New password') : (string)$options['password'];
$problem = $options['ignore-password-policy'] ? '' : password_policy_problem($password);
if ($problem !== '') {
    cli_error($problem);
}
$DB->set_field('user', 'password', hash_internal_user_password($password), ['id' => $user->id]);
cli_writeln('Password changed');
exit(0);
