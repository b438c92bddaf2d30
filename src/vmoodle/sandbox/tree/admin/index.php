<?php

// Administration: only says whether the site is installed and up to date.

declare(strict_types=1);

require_once __DIR__ . '/../config.php';

if (empty($CFG->version)) {
    throw new moodle_exception('The site is not installed: run admin/cli/install_database.php.');
}
$text = moodle_needs_upgrading()
    ? '<p class="alert">An upgrade is pending: run admin/cli/upgrade.php.</p>'
    : '<p>The site is up to date.</p>';
echo page('Administration | ' . $SITE->shortname, $SITE->fullname, $text);
