<?php

// Log in.

declare(strict_types=1);

require_once __DIR__ . '/../config.php';

if (empty($CFG->version)) {
    redirect($CFG->wwwroot . '/admin/index.php');
}
$field = static fn(string $name): string => is_string($_POST[$name] ?? null) ? $_POST[$name] : '';
$error = '';
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    $token = $_SESSION['logintoken'] ?? '';
    unset($_SESSION['logintoken']);
    $ours = $token !== '' && hash_equals($token, $field('logintoken'));
    $user = $ours ? authenticate_user_login($field('username'), $field('password')) : null;
    if ($user !== null) {
        session_login($user);
        redirect($CFG->wwwroot . '/');
    }
    $error = '<p class="alert" role="alert">Invalid login, please try again.</p>';
}
$_SESSION['logintoken'] ??= random_string(32);
echo page('Log in to the site | ' . $SITE->shortname, $SITE->fullname, $error
    . '<form action="' . s($CFG->wwwroot) . '/login/index.php" method="post" id="login">
<input type="hidden" name="logintoken" value="' . s($_SESSION['logintoken']) . '">
<label>Username <input type="text" name="username" id="username" value="' . s($field('username')) . '" autocomplete="username"></label>
<label>Password <input type="password" name="password" id="password" autocomplete="current-password"></label>
<button type="submit" id="loginbtn">Log in</button>
</form>');
