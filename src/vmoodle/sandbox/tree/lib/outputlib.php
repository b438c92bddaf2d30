<?php

// Pages of the sandbox.

declare(strict_types=1);

function s(mixed $text): string
{
    return htmlspecialchars((string)$text, ENT_QUOTES | ENT_SUBSTITUTE | ENT_HTML5);
}

/** A whole page around a body that is HTML already. */
function page(string $title, string $heading, string $body): string
{
    global $CFG;
    return '<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>' . s($title) . '</title>
<link rel="stylesheet" href="' . s($CFG->wwwroot) . '/theme/styles.php/boost/' . s($CFG->themerev ?? 1) . '/all">
</head><body>
<h1>' . s($heading) . '</h1>
' . $body . '
<footer><p>VMoodle sandbox — not Moodle</p></footer>
</body></html>
';
}

/** Stop with the page of the maintenance that lets administrators in. */
function print_maintenance_message(): never
{
    global $CFG, $SITE;
    maintenance_headers();
    $text = ($CFG->maintenance_message ?? '') ?: '<p>This site is under maintenance.</p>';
    echo page('Maintenance | ' . $SITE->shortname, $SITE->fullname, $text);
    exit;
}

/** What stands behind a script's name in the address: `/a/b` of `script.php/a/b`. */
function slash_arguments(): string
{
    $path = $_SERVER['PATH_INFO'] ?? '';
    return str_contains($path, "\0") ? '' : $path;
}
