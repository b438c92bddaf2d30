<?php
// Answers one JSON line {"host": base64, "uri": base64} after the other with two files: the one that the
// hook locates, and the one that config.php would read on its short way (null where it takes the long one).
declare(strict_types=1);

ini_set('display_errors', '1');
error_reporting(-1);
require $argv[1];

/** Stand for file_get_contents in the short way: note the file, read nothing. */
function note(string $file): string {
    $GLOBALS['noted'] = $file;
    return '';
}

/** The text of config.php up to what it does with the entry, made to run here and to note the file. */
function short_way(string $config): string {
    $start = strpos($config, '$vmoodle_host =');
    $end = strpos($config, "if (\n    (\$vmoodle_site['state']");
    if ($start === false || $end === false) {
        throw new LogicException('config.php has no short way');
    }
    $way = substr($config, $start, $end - $start);
    foreach (["PHP_SAPI !== 'cli'" => 'true', ', false, null, 0, 1024)' => ')', '@file_get_contents(' => 'note('] as $from => $to) {
        $way = str_replace($from, $to, $way, $count);
        if ($count !== 1) {
            throw new LogicException("config.php has $count times: $from");
        }
    }
    return $way;
}

$way = short_way(file_get_contents($argv[3]));
while (($line = fgets(STDIN)) !== false) {
    $asked = json_decode($line, true, 4, JSON_THROW_ON_ERROR);
    clearstatcache();
    $_SERVER['HTTP_HOST'] = base64_decode($asked['host'], true);
    $_SERVER['REQUEST_URI'] = base64_decode($asked['uri'], true);
    $noted = null;
    eval($way);
    echo json_encode(
        [vmoodle_hook_locate($argv[2], $_SERVER['HTTP_HOST'], $_SERVER['REQUEST_URI']), $noted]
    ), "\n";
}
