<?php  // @MARKER@, format @FORMAT@: this file picks the site by the host, or by VMOODLE_SITE on the command line.
// Settings are changed with `vmoodle forced`; `vmoodle hook rebuild` writes this file anew.

unset($CFG);
global $CFG;
$CFG = new stdClass();

(static function (stdClass $cfg, string $map, string $codebase): void {
    // The request that is nearly every request, in as few steps as can be: a plain host whose file of
    // the map holds a live site of this code tree. All else, errors included, is the hook's.
    if (
        PHP_SAPI !== 'cli'
        && preg_match('~^((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.?\b)+)(?<!\.)(?::[1-9][0-9]{0,3})?$~D', $_SERVER['HTTP_HOST'] ?? '', $host)
        && preg_match('~^/(?:([a-zA-Z0-9._-]+)(?:[/?]|$)|\?|$)~D', $_SERVER['REQUEST_URI'] ?? '', $first)
        && strlen($host[1]) <= 200
        && (!isset($first[1]) || strpos($first[1], '.') !== false || !is_file("$map/web/$host[1]+$first[1].json"))
    ) {
        $site = json_decode((string) @file_get_contents("$map/web/$host[1].json"), true);
        if (($site['state'] ?? '') === 'live' && $site['format'] === 1 && $site['codebase'] === $codebase) {
            // The programs that a page of Moodle starts are for the same site.
            if (!PHP_ZTS && function_exists('putenv')) {
                putenv('VMOODLE_SITE=' . $site['shortname']);
            }
            foreach ($site['cfg'] as $name => $value) {
                $cfg->$name = $value;
            }
            return;
        }
    }
    // A hook that cannot be read must end as a plain 503, not as PHP's message with a path in it.
    if (!@include_once('@HOOK@')) {
        PHP_SAPI === 'cli'
            ? file_put_contents('php://stderr', "VMoodle: its hook cannot be read.\n")
            : http_response_code(503);
        exit(1);
    }
    vmoodle_hook($cfg, $map, $codebase);
})($CFG, '@MAP@', '@CODEBASE@');

require_once(__DIR__ . '/lib/setup.php');
