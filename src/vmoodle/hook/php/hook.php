<?php
// VMoodle's hook: chooses the site of a web request or of a command-line call and fills $CFG.
// It reads one small data file of the host map: no database, no registry, no client header but Host.

declare(strict_types=1);

const VMOODLE_HOOK_FORMAT = 1;
const VMOODLE_HOOK_HOST_LENGTH = 200;
const VMOODLE_HOOK_LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
const VMOODLE_HOOK_HOST = '~^(' . VMOODLE_HOOK_LABEL . '(?:\.' . VMOODLE_HOOK_LABEL . ')*)\.?(?::([0-9]{1,5}))?$~D';
const VMOODLE_HOOK_NAME = '~^[a-z0-9][a-z0-9_-]{0,62}$~D';
const VMOODLE_HOOK_WWWROOT = '~^https?://([^/]+)(?:/([^/]*))?/?$~Di';
const VMOODLE_HOOK_RETRY_SECONDS = 300;

/** Fill $CFG with the site's settings, or end the request or the call. */
function vmoodle_hook(stdClass $cfg, string $map, string $codebase): void {
    $site = PHP_SAPI === 'cli' ? vmoodle_hook_cli_site($map, $codebase) : vmoodle_hook_web_site($map, $codebase);
    foreach ($site['cfg'] as $name => $value) {
        $cfg->$name = $value;
    }
}

/** The site of a web request; anything but a live site of this code tree ends here. */
function vmoodle_hook_web_site(string $map, string $codebase): array {
    $header = $_SERVER['HTTP_HOST'] ?? '';
    $uri = $_SERVER['REQUEST_URI'] ?? '';
    $file = vmoodle_hook_locate($map, $header, $uri);
    if ($file === null) {
        // A map that this account may not enter says nothing about the site.
        vmoodle_hook_end(is_executable("$map/web") ? 404 : 503);
    }
    $entry = vmoodle_hook_read($file);
    $state = $entry['state'] ?? '';
    if ($state === 'live' && $entry['codebase'] === $codebase) {
        vmoodle_hook_prepare($header, $entry['shortname']);
        return $entry;
    }
    if (isset($entry['redirect'])) {
        vmoodle_hook_redirect($entry['redirect'] . '/' . ltrim($uri, '/\\'));
    }
    if ($state === 'deleted') {
        vmoodle_hook_end(410);
    }
    if ($state === '' || $state === 'live') {
        error_log('VMoodle: ' . basename($file) . ' of the map '
            . ($state === '' ? 'cannot be read.' : 'is of a site on another code tree.'));
    }
    $page = $entry['page'] ?? null;
    vmoodle_hook_end(503, (int) ($entry['retry_after'] ?? VMOODLE_HOOK_RETRY_SECONDS), is_string($page) ? $page : null);
}

/** Give Moodle the host as it compares it, and the programs that a page starts the same site. */
function vmoodle_hook_prepare(string $header, string $shortname): void {
    $host = vmoodle_hook_host($header);
    if (strncmp($header, $host, strlen($host)) !== 0 || ($header[strlen($host)] ?? ':') !== ':') {
        $_SERVER['HTTP_HOST'] = $host . strstr($header, ':');
    }
    // "Run now" of a scheduled task starts admin/cli/scheduled_task.php (lib/classes/task/manager.php,
    // Moodle 4.5). Where threads share one environment it would leak into another site's request.
    if (!PHP_ZTS && function_exists('putenv')) {
        putenv("VMOODLE_SITE=$shortname");
    }
}

/** The file of the map that answers for a Host header and a request URI, null where none does. */
function vmoodle_hook_locate(string $map, string $header, string $uri): ?string {
    $host = vmoodle_hook_host($header);
    if ($host === null || ($uri[0] ?? '') !== '/') {
        return null;
    }
    $path = ltrim($uri, '/');
    $segment = rawurldecode(substr($path, 0, strcspn($path, '/?#')));
    if (preg_match(VMOODLE_HOOK_NAME, $segment) && is_file("$map/web/$host+$segment.json")) {
        return "$map/web/$host+$segment.json";
    }
    return is_file("$map/web/$host.json") ? "$map/web/$host.json" : null;
}

/** A Host header without port and trailing dot, in lower case; null when it is no plain host name. */
function vmoodle_hook_host(string $header): ?string {
    $length = strlen($header);
    // Letters, digits and single dots between them, as nearly every client sends it, need no pattern (4 µs).
    if ($length <= 63 && $length === strspn($header, 'abcdefghijklmnopqrstuvwxyz0123456789.')
            && $length !== 0 && $header[0] !== '.' && $header[-1] !== '.' && !str_contains($header, '..')) {
        return $header;
    }
    if ($length > VMOODLE_HOOK_HOST_LENGTH + 7 || !preg_match(VMOODLE_HOOK_HOST, strtolower($header), $found)) {
        return null;
    }
    $port = (int) ($found[2] ?? 80);
    return strlen($found[1]) <= VMOODLE_HOOK_HOST_LENGTH && $port >= 1 && $port <= 65535 ? $found[1] : null;
}

/** The entry in a file of the map; an empty array when it is not whole or of another format. */
function vmoodle_hook_read(string $file): array {
    $text = @file_get_contents($file);
    $entry = is_string($text) ? json_decode($text, true) : null;
    if (!is_array($entry) || ($entry['format'] ?? 0) !== VMOODLE_HOOK_FORMAT) {
        return [];
    }
    $answers = is_string($entry['redirect'] ?? null) || ($entry['state'] ?? '') === 'deleted';
    $serves = is_array($entry['cfg'] ?? null) && is_string($entry['cfg']['wwwroot'] ?? null)
        && is_string($entry['shortname'] ?? null) && isset($entry['codebase'], $entry['state']);
    return $answers || $serves ? $entry : [];
}

/** The site that VMOODLE_SITE names; the call ends, with nothing touched, where there is none. */
function vmoodle_hook_cli_site(string $map, string $codebase): array {
    $wanted = (string) getenv('VMOODLE_SITE', true);
    if ($wanted === '') {
        vmoodle_hook_refuse('set VMOODLE_SITE to the shortname or the wwwroot of the site this is for');
    }
    $shown = substr(preg_replace('~[^\x20-\x7e]~', '?', $wanted), 0, 255);
    if (!is_executable("$map/cli")) {
        vmoodle_hook_refuse('there is no host map that this account may read; `vmoodle exec` uses the web account');
    }
    $file = vmoodle_hook_cli_file($map, $wanted);
    if ($file === null || !is_file($file)) {
        vmoodle_hook_refuse("there is no site $shown");
    }
    $entry = vmoodle_hook_read($file);
    if (!isset($entry['cfg'])) {
        vmoodle_hook_refuse($entry === [] ? "the map's entry of $shown cannot be read" : "there is no site $shown");
    }
    if ($entry['codebase'] !== $codebase) {
        vmoodle_hook_refuse("$shown runs on the codebase {$entry['codebase']}, this code tree is $codebase");
    }
    return $entry;
}

/** The file of the map that a shortname or a wwwroot names exactly: a path of a site is not the site. */
function vmoodle_hook_cli_file(string $map, string $wanted): ?string {
    if (preg_match(VMOODLE_HOOK_NAME, $wanted)) {
        return "$map/cli/$wanted.json";
    }
    if (!preg_match(VMOODLE_HOOK_WWWROOT, $wanted, $found)) {
        return null;
    }
    $host = vmoodle_hook_host($found[1]);
    $segment = strtolower($found[2] ?? '');
    if ($host === null || ($segment !== '' && !preg_match(VMOODLE_HOOK_NAME, $segment))) {
        return null;
    }
    return "$map/web/$host" . ($segment === '' ? '' : "+$segment") . '.json';
}

function vmoodle_hook_refuse(string $reason): never {
    file_put_contents('php://stderr', "VMoodle: $reason.\n");
    exit(1);
}

/** Send the client to the site's own address, path and query kept; 308 keeps the method of a form. */
function vmoodle_hook_redirect(string $url): never {
    $reads = in_array($_SERVER['REQUEST_METHOD'] ?? 'GET', ['GET', 'HEAD'], true);
    $encode = static fn (array $found): string => rawurlencode($found[0]);
    header('Location: ' . preg_replace_callback('~[^\x21-\x7e]~', $encode, $url), true, $reads ? 301 : 308);
    header('Cache-Control: no-store');
    header_remove('X-Powered-By');
    exit;
}

/** Answer with a page that names no site, no path and no server: the administrator's, or a plain one. */
function vmoodle_hook_end(int $status, int $retryafter = VMOODLE_HOOK_RETRY_SECONDS, ?string $page = null): never {
    [$title, $text] = [
        404 => ['Not found', 'There is no site at this address.'],
        410 => ['Gone', 'The site that was at this address has been removed.'],
        503 => ['Not available', 'This site is not available at the moment. Please try again later.'],
    ][$status];
    http_response_code($status);
    header('Content-Type: text/html; charset=utf-8');
    header('Cache-Control: no-store');
    header('X-Content-Type-Options: nosniff');
    header_remove('X-Powered-By');
    if ($status === 503) {
        header("Retry-After: $retryafter");
    }
    if (($_SERVER['REQUEST_METHOD'] ?? 'GET') !== 'HEAD') {
        echo $page ?? <<<HTML
            <!DOCTYPE html>
            <html lang="en"><head><meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="robots" content="noindex"><title>$title</title>
            <style>body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:18vh auto 0;padding:0 1.5rem;
            color:#1d2125;background:#fff}@media(prefers-color-scheme:dark){body{color:#e8e8e8;background:#1d2125}}
            </style></head><body><main><h1>$title</h1><p>$text</p></main></body></html>

            HTML;
    }
    exit;
}
