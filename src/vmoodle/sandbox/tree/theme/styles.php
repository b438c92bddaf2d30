<?php

// Style sheet of a theme: styles.php/theme/revision/kind, made without the database.

declare(strict_types=1);

define('ABORT_AFTER_CONFIG', true);

require_once __DIR__ . '/../config.php';

$theme = explode('/', trim($_SERVER['PATH_INFO'] ?? '', '/'))[0];
if (!preg_match('/^[a-z][a-z0-9_]*$/', $theme) || !is_dir($CFG->dirroot . '/theme/' . $theme)) {
    http_response_code(404);
    header('Content-Type: text/plain; charset=utf-8');
    echo 'There is no such theme.';
    exit;
}
header('Content-Type: text/css; charset=utf-8');
header('Cache-Control: public, max-age=5184000, immutable');
echo "body { font-family: sans-serif; margin: 2rem auto; max-width: 60rem; }\nh1 { color: #0f6cbf; }\n.alert { color: #a00; }\n";
