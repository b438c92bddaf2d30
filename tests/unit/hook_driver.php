<?php
// Answers one JSON line {"host": base64, "uri": base64} after the other with the file that the hook locates.
declare(strict_types=1);

ini_set('display_errors', '1');
error_reporting(-1);
require $argv[1];
while (($line = fgets(STDIN)) !== false) {
    $asked = json_decode($line, true, 4, JSON_THROW_ON_ERROR);
    clearstatcache();
    echo json_encode(
        vmoodle_hook_locate($argv[2], base64_decode($asked['host'], true), base64_decode($asked['uri'], true))
    ), "\n";
}
