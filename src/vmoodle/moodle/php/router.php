<?php
/**
 * Router of PHP's own web server for a Moodle code tree: slash arguments, sub-path sites, and
 * nothing served that a production server would hide. For demos, tests and private proofs.
 */

declare(strict_types=1);

// A private proof: this server stands where the site's web server will be, and says what that will say.
// Moodle compares the port with its wwwroot's (setup_get_remote_url() in lib/setuplib.php, 4.5).
if (in_array($vmoodle_scheme = getenv('VMOODLE_PROOF_SCHEME'), ['http', 'https'], true)) {
    if ($vmoodle_scheme === 'https') {
        $_SERVER['HTTPS'] = 'on';
    }
    $_SERVER['SERVER_PORT'] = preg_match('/:([0-9]{1,5})$/D', $_SERVER['HTTP_HOST'] ?? '', $vmoodle_port)
        ? $vmoodle_port[1]
        : ($vmoodle_scheme === 'https' ? '443' : '80');
}
unset($vmoodle_scheme, $vmoodle_port);

/** Names that no request may have on its way, in lower case: sources and tools, never pages. */
const VMOODLE_HIDDEN_NAMES = [
    'vendor', 'node_modules', 'config.php', 'config-dist.php', 'composer.json', 'composer.lock', 'package.json',
    'npm-shrinkwrap.json', 'environment.xml', 'install.xml', 'readme.txt', 'readme.md', 'upgrade.txt',
    'upgrading.md', 'phpunit.xml', 'phpunit.xml.dist', 'behat.yml.dist', 'gruntfile.js', 'fixtures', 'behat',
];

const VMOODLE_TYPES = [
    'css' => 'text/css; charset=utf-8', 'js' => 'text/javascript; charset=utf-8', 'json' => 'application/json',
    'map' => 'application/json', 'html' => 'text/html; charset=utf-8', 'htm' => 'text/html; charset=utf-8',
    'txt' => 'text/plain; charset=utf-8', 'xml' => 'application/xml', 'svg' => 'image/svg+xml',
    'png' => 'image/png', 'gif' => 'image/gif', 'jpg' => 'image/jpeg', 'jpeg' => 'image/jpeg',
    'webp' => 'image/webp', 'ico' => 'image/x-icon', 'woff' => 'font/woff', 'woff2' => 'font/woff2',
    'ttf' => 'font/ttf', 'wasm' => 'application/wasm', 'mp3' => 'audio/mpeg', 'mp4' => 'video/mp4',
    'pdf' => 'application/pdf',
];

/**
 * Find what a path of the tree names.
 *
 * @return array{string, string, string}|null the real file, its URL path, and the rest behind it;
 *         a directory without its slash has '' for a file
 */
function vmoodle_resolve(string $root, string $path): ?array {
    $at = $root;
    $url = '';
    $segments = explode('/', ltrim($path, '/'));
    while (($segment = array_shift($segments)) !== null) {
        if ($segment === '') {
            continue;
        }
        if ($segment[0] === '.' || in_array(strtolower($segment), vmoodle_hidden($at === $root), true)) {
            return null;
        }
        $at .= '/' . $segment;
        $url .= '/' . $segment;
        $real = realpath($at);
        if ($real === false || !str_starts_with($real, $root . '/')) {
            return null;
        }
        if (is_file($real)) {
            $rest = $segments === [] ? '' : '/' . implode('/', $segments);
            return $rest === '' || str_ends_with($real, '.php') ? [$real, $url, $rest] : null;
        }
    }
    if (!str_ends_with($path, '/')) {
        return ['', $url . '/', ''];
    }
    foreach (['index.php', 'index.html'] as $index) {
        if (is_file($at . '/' . $index)) {
            return [$at . '/' . $index, $url . '/' . $index, ''];
        }
    }
    return null;
}

/** @return list<string> what is hidden at this depth: a theme's config.php is its own matter */
function vmoodle_hidden(bool $top): array {
    return $top
        ? [...VMOODLE_HIDDEN_NAMES, ...array_map('basename', glob($_SERVER['DOCUMENT_ROOT'] . '/config.before-vmoodle*') ?: [])]
        : array_values(array_diff(VMOODLE_HIDDEN_NAMES, ['config.php']));
}

/**
 * Find what a request names; below the first segment when that is a site's own and not the tree's.
 *
 * @return array{string, string, string, string}|null file, URL path in the tree, rest, site's segment
 */
function vmoodle_route(string $root, string $path): ?array {
    $first = explode('/', ltrim($path, '/'), 2)[0];
    $own = !preg_match('/^[a-z0-9][a-z0-9_-]*$/Di', $first) || file_exists($root . '/' . $first);
    $segment = $own ? '' : '/' . $first;
    $below = substr($path, strlen($segment));
    $found = $below === '' ? ['', '/', ''] : vmoodle_resolve($root, $below);
    return $found === null ? null : [...$found, $segment];
}

function vmoodle_refuse(int $status, string $text): void {
    http_response_code($status);
    header('Content-Type: text/plain; charset=utf-8');
    if ($_SERVER['REQUEST_METHOD'] !== 'HEAD') {
        echo $text, "\n";
    }
}

function vmoodle_send(string $file): void {
    if (!in_array($_SERVER['REQUEST_METHOD'], ['GET', 'HEAD'], true)) {
        header('Allow: GET, HEAD');
        vmoodle_refuse(405, 'Method not allowed');
        return;
    }
    $extension = strtolower(pathinfo($file, PATHINFO_EXTENSION));
    header('Content-Type: ' . (VMOODLE_TYPES[$extension] ?? 'application/octet-stream'));
    header('Content-Length: ' . filesize($file));
    header('Last-Modified: ' . gmdate('D, d M Y H:i:s', (int) filemtime($file)) . ' GMT');
    if ($_SERVER['REQUEST_METHOD'] !== 'HEAD') {
        readfile($file);
    }
}

/** Answer the request, or return the script that does. */
function vmoodle_answer(): ?string {
    $uri = $_SERVER['REQUEST_URI'];
    $query = strstr($uri, '?');
    $path = rawurldecode($query === false ? $uri : substr($uri, 0, -strlen($query)));
    $root = realpath($_SERVER['DOCUMENT_ROOT']);
    if ($root === false || $path === '' || $path[0] !== '/' || str_contains($path, "\0") || str_contains($path, '\\')) {
        vmoodle_refuse(400, 'Bad request');
        return null;
    }
    $found = vmoodle_route($root, $path);
    if ($found === null) {
        vmoodle_refuse(404, 'Not found');
        return null;
    }
    [$file, $url, $rest, $segment] = $found;
    if ($file === '') {
        // One slash at the front: two would name another host.
        $place = '/' . ltrim($segment . $url, '/');
        header('Location: ' . implode('/', array_map('rawurlencode', explode('/', $place))) . $query, true, 301);
        return null;
    }
    if (!str_ends_with($file, '.php')) {
        vmoodle_send($file);
        return null;
    }
    $_SERVER['SCRIPT_FILENAME'] = $file;
    $_SERVER['SCRIPT_NAME'] = $segment . $url;
    $_SERVER['PHP_SELF'] = $segment . $url . $rest;
    unset($_SERVER['PATH_INFO']);
    if ($rest !== '') {
        $_SERVER['PATH_INFO'] = $rest;
    }
    chdir(dirname($file));
    return $file;
}

if (($vmoodle_script = vmoodle_answer()) !== null) {
    require $vmoodle_script;
}
