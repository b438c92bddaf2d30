<?php  // @MARKER@, format @FORMAT@: this file picks the site by the host, or by VMOODLE_SITE on the command line.
// Settings are changed with `vmoodle forced`; `vmoodle hook rebuild` writes this file anew.

unset($CFG);
global $CFG;
$CFG = new stdClass();

// The request that is nearly every request, in as few steps as can be: a plain host whose file of the
// map holds a live site of this code tree. All else, errors included, is the hook's.
$vmoodle_host = $_SERVER['HTTP_HOST'] ?? '';
$vmoodle_uri = $_SERVER['REQUEST_URI'] ?? '';
$vmoodle_first = strspn($vmoodle_uri, 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.', 1);
$vmoodle_site = null;
if (
    PHP_SAPI !== 'cli'
    && $vmoodle_host !== '' && !isset($vmoodle_host[63])
    && !isset($vmoodle_host[strspn($vmoodle_host, 'abcdefghijklmnopqrstuvwxyz0123456789.-')])
    && trim($vmoodle_host, '.-') === $vmoodle_host
    && !str_contains($vmoodle_host, '..') && !str_contains($vmoodle_host, '.-') && !str_contains($vmoodle_host, '-.')
    // A first segment of plain characters, and no site below it; none has a dot in its segment.
    && ($vmoodle_uri === '/' || (($vmoodle_uri[0] ?? '') === '/'
        && ($vmoodle_first === 0
            ? $vmoodle_uri[1] === '?'
            : strpos('/?', $vmoodle_uri[$vmoodle_first + 1] ?? '/') !== false
                && (strpos($vmoodle_first = substr($vmoodle_uri, 1, $vmoodle_first), '.') !== false
                    || !is_file('@MAP@' . "/web/$vmoodle_host+$vmoodle_first.json")))))
) {
    // One read: the map's files are filled up to 1024 bytes. A longer one ends in half and is the hook's.
    $vmoodle_site = json_decode((string) @file_get_contents('@MAP@' . "/web/$vmoodle_host.json", false, null, 0, 1024), true);
}
if (
    ($vmoodle_site['state'] ?? '') === 'live' && ($vmoodle_site['format'] ?? 0) === 1
    && ($vmoodle_site['codebase'] ?? '') === '@CODEBASE@'
    && is_string($vmoodle_site['shortname'] ?? null) && is_string($vmoodle_site['cfg']['wwwroot'] ?? null)
) {
    // The programs that a page of Moodle starts are for the same site.
    if (!PHP_ZTS && function_exists('putenv')) {
        putenv('VMOODLE_SITE=' . $vmoodle_site['shortname']);
    }
    $CFG = (object) $vmoodle_site['cfg'];
} elseif (@include_once('@HOOK@')) {
    vmoodle_hook($CFG, '@MAP@', '@CODEBASE@');
} else {
    // A hook that cannot be read must end as a plain 503, not as PHP's message with a path in it.
    PHP_SAPI === 'cli'
        ? file_put_contents('php://stderr', "VMoodle: its hook cannot be read.\n")
        : http_response_code(503);
    exit(1);
}
unset($vmoodle_host, $vmoodle_uri, $vmoodle_first, $vmoodle_site);

require_once(__DIR__ . '/lib/setup.php');
