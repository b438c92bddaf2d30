<?php

// One's own profile, for those who may edit it.

declare(strict_types=1);

require_once __DIR__ . '/../config.php';
require_once $CFG->libdir . '/accesslib.php';

if (empty($CFG->version) || !$USER->id) {
    redirect($CFG->wwwroot . '/login/index.php');
}
if (!has_capability('moodle/user:editownprofile', (int)$USER->id)) {
    http_response_code(404);
    echo page('Error | ' . $SITE->shortname, $SITE->fullname, '<div class="box errorbox" data-rel="fatalerror"><p>'
        . 'Sorry, but you do not currently have permissions to do that (Edit own user profile).</p></div>');
    exit;
}
echo page('Edit profile | ' . $SITE->shortname, $SITE->fullname, '<p>' . s("$USER->firstname $USER->lastname") . ' ('
    . '<a href="' . s($CFG->wwwroot) . '/login/logout.php?sesskey=' . s($_SESSION['sesskey']) . '">Log out</a>)</p>');
