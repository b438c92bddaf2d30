<?php

// Log out.

declare(strict_types=1);

require_once __DIR__ . '/../config.php';

$given = is_string($_GET['sesskey'] ?? null) ? $_GET['sesskey'] : '';
if (empty($CFG->version) || !$USER->id) {
    redirect($CFG->wwwroot . '/');
}
if (!hash_equals($_SESSION['sesskey'], $given)) {
    http_response_code(403);
    echo page('Log out | ' . $SITE->shortname, $SITE->fullname, '<p>The link to log out has expired.</p>');
    exit;
}
session_logout();
redirect($CFG->wwwroot . '/');
