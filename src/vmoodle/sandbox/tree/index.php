<?php

// Front page.

declare(strict_types=1);

require_once __DIR__ . '/config.php';

if (empty($CFG->version)) {
    redirect($CFG->wwwroot . '/admin/index.php');
}
if (!empty($CFG->maintenance_enabled) && !is_siteadmin((int)$USER->id)) {
    print_maintenance_message();
}
$root = s($CFG->wwwroot);
$who = $USER->id
    ? '<p class="usertext">' . s("$USER->firstname $USER->lastname") . " (<a href=\"$root/login/logout.php?sesskey="
        . s($_SESSION['sesskey']) . '">Log out</a>)</p>'
    : "<p class=\"login\"><a href=\"$root/login/index.php\">Log in</a></p>";
echo page('Home | ' . $SITE->shortname, $SITE->fullname, $who
    . '<div class="summary">' . s($SITE->summary) . '</div>'
    . '<p class="notice">This is the VMoodle sandbox, not Moodle: it stands in for a code tree in demos and tests. Release '
    . s($CFG->release) . '.</p>');
