<?php

// The settings stand above the web root since 5.1.

declare(strict_types=1);

if (!file_exists(__DIR__ . '/../config.php')) {
    http_response_code(500);
    exit("There is no config.php.\n");
}
require __DIR__ . '/../config.php';
