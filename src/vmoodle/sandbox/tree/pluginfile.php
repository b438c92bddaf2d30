<?php

// Stored files: pluginfile.php/contextid/component/area/item/path/name.

declare(strict_types=1);

require_once __DIR__ . '/config.php';

$parts = explode('/', trim(slash_arguments(), '/'));
$file = null;
if (!empty($CFG->version) && count($parts) >= 5) {
    $file = $DB->get_record('files', ['pathnamehash' => sha1('/' . implode('/', $parts))]);
}
$hash = $file->contenthash ?? '';
$path = $CFG->dataroot . '/filedir/' . substr($hash, 0, 2) . '/' . substr($hash, 2, 2) . '/' . $hash;
if ($file === null || $file->filename === '.' || !preg_match('/^[0-9a-f]{40}$/', $hash) || !is_file($path)) {
    http_response_code(404);
    echo page('Not found', 'Not found', '<p>There is no such file.</p>');
    exit;
}
header('Content-Type: application/octet-stream');
header('Content-Disposition: attachment');
header('X-Content-Type-Options: nosniff');
header('Content-Length: ' . filesize($path));
readfile($path);
