<?php

// Passwords of local accounts: SHA-512 crypt, with bcrypt read and replaced at the next login.

declare(strict_types=1);

/** Hash a password, with the newest pepper when the fleet has any. */
function hash_internal_user_password(string $password): string
{
    $salt = strtr(substr(base64_encode(random_bytes(12)), 0, 16), '+', '.');
    return crypt($password . password_pepper(), '$6$rounds=10000$' . $salt . '$');
}

function password_pepper(): string
{
    global $CFG;
    $peppers = (array)($CFG->passwordpeppers ?? []);
    ksort($peppers);
    return (string)(end($peppers) ?: '');
}

/** Whether the password is the account's; an old hash is replaced on the way. */
function validate_internal_user_password(stdClass $user, string $password): bool
{
    global $CFG, $DB;
    $legacy = str_starts_with($user->password, '$2y$');
    $peppers = $legacy ? [''] : [...array_reverse(array_values((array)($CFG->passwordpeppers ?? []))), ''];
    foreach ($peppers as $pepper) {
        if (password_verify($password . $pepper, $user->password)) {
            if ($legacy || $pepper !== password_pepper()) {
                $DB->set_field('user', 'password', hash_internal_user_password($password), ['id' => $user->id]);
            }
            return true;
        }
    }
    return false;
}

/** What the site's password policy has against a password; an empty text means nothing. */
function password_policy_problem(string $password): string
{
    global $CFG;
    if (empty($CFG->passwordpolicy)) {
        return '';
    }
    $rules = [
        'minpasswordlength' => ['/./us', 'characters'],
        'minpassworddigits' => ['/\d/', 'digits'],
        'minpasswordlower' => ['/\p{Ll}/u', 'lower case letters'],
        'minpasswordupper' => ['/\p{Lu}/u', 'upper case letters'],
        'minpasswordnonalphanum' => ['/[^\p{L}\p{N}]/u', 'characters that are neither letter nor digit'],
    ];
    $problems = [];
    foreach ($rules as $setting => [$pattern, $what]) {
        $least = (int)($CFG->$setting ?? 0);
        if (preg_match_all($pattern, $password) < $least) {
            $problems[] = "The password needs at least $least $what.";
        }
    }
    return implode("\n", $problems);
}

/** The account if name and password are right and it may log in. */
function authenticate_user_login(string $username, string $password): ?stdClass
{
    global $CFG, $DB;
    $where = ['username' => mb_strtolower(trim($username)), 'mnethostid' => $CFG->mnet_localhost_id, 'deleted' => 0];
    $user = $DB->get_record('user', $where);
    if ($user === null || $user->username === 'guest' || $user->suspended || $user->auth !== 'manual') {
        return null;
    }
    return validate_internal_user_password($user, $password) ? $user : null;
}

function is_siteadmin(int $userid): bool
{
    global $CFG;
    return $userid > 0 && in_array((string)$userid, explode(',', $CFG->siteadmins ?? ''), true);
}
