<?php

// Steps of the bootstrap, one function each, in the order in which lib/setup.php takes them.

declare(strict_types=1);

define('MATURITY_ALPHA', 50);
define('MATURITY_BETA', 100);
define('MATURITY_RC', 150);
define('MATURITY_STABLE', 200);

/** An error that a person can read. */
class moodle_exception extends RuntimeException
{
}

/** Stop, with a status on the web and exit status 1 on the command line. */
function setup_fatal(string $text, int $status = 500): never
{
    if (isset($_SERVER['REMOTE_ADDR'])) {
        http_response_code($status);
        header('Content-Type: text/plain; charset=utf-8');
    }
    echo $text . "\n";
    exit(1);
}

function setup_exception_handler(Throwable $error): never
{
    error_log('sandbox: ' . $error->getMessage());
    // What is no moodle_exception may carry a path or a server's name: that is for the log alone.
    $shown = $error instanceof moodle_exception || !isset($_SERVER['REMOTE_ADDR']);
    setup_fatal('!!! ' . ($shown ? $error->getMessage() : 'The site met an error.') . ' !!!');
}

/** Give every setting that config.php left out its value. */
function setup_defaults(stdClass $CFG): void
{
    $CFG->directorypermissions ??= 02777;
    $CFG->filepermissions ??= $CFG->directorypermissions & 0666;
    $CFG->umaskpermissions ??= ($CFG->directorypermissions & 0777) ^ 0777;
    umask($CFG->umaskpermissions);
    $CFG->prefix ??= '';
    $CFG->dboptions ??= [];
    $CFG->admin ??= 'admin';
    if (!isset($CFG->wwwroot)) {
        setup_fatal('Fatal error: $CFG->wwwroot is not set in config.php.');
    }
    $CFG->libdir = $CFG->dirroot . '/lib';
}

/** Check the data directory and name the directories inside it. */
function setup_dataroot(stdClass $CFG): void
{
    if (!isset($CFG->dataroot)) {
        setup_fatal('Fatal error: $CFG->dataroot is not set in config.php.');
    }
    $CFG->dataroot = realpath($CFG->dataroot);
    if ($CFG->dataroot === false) {
        setup_fatal('Fatal error: $CFG->dataroot does not exist or cannot be entered.');
    }
    if (!is_writable($CFG->dataroot)) {
        setup_fatal('Fatal error: $CFG->dataroot is not writable.');
    }
    $CFG->tempdir ??= $CFG->dataroot . '/temp';
    $CFG->backuptempdir ??= $CFG->tempdir . '/backup';
    $CFG->cachedir ??= $CFG->dataroot . '/cache';
    $CFG->localcachedir ??= $CFG->dataroot . '/localcache';
    $CFG->localrequestdir ??= sys_get_temp_dir() . '/requestdir';
    $CFG->langotherroot ??= $CFG->dataroot . '/lang';
    $CFG->langlocalroot ??= $CFG->dataroot . '/lang';
}

/** Refuse a command line script over HTTP, and a page on the command line. */
function setup_require_right_interface(): void
{
    if (isset($_SERVER['REMOTE_ADDR'])) {
        if (CLI_SCRIPT) {
            echo 'This script is for the command line only.';
            exit(1);
        }
    } else if (!CLI_SCRIPT) {
        echo "A script run on the command line has to define CLI_SCRIPT before it includes config.php.\n";
        exit(1);
    }
}

/** Answer 503 while the data directory holds climaintenance.html; the command line goes on. */
function setup_cli_maintenance(stdClass $CFG): void
{
    $page = $CFG->dataroot . '/climaintenance.html';
    $closed = file_exists($page);
    if ($closed && !CLI_SCRIPT) {
        maintenance_headers();
        readfile($page);
        exit;
    }
    defined('CLI_MAINTENANCE') || define('CLI_MAINTENANCE', $closed);
}

function maintenance_headers(): void
{
    header($_SERVER['SERVER_PROTOCOL'] . ' 503 Sandbox under maintenance');
    header('Retry-After: 300');
    header('Content-Type: text/html; charset=utf-8');
    header('Cache-Control: no-store, no-cache, must-revalidate');
}

/** What the frozen site identifier belongs to. */
function setup_bootstrap_hash(stdClass $CFG): string
{
    return md5($CFG->dbtype . $CFG->dbhost . $CFG->dbuser . $CFG->dbname . $CFG->prefix);
}

/** Take the site identifier from the file that froze it, unless that file is another database's. */
function setup_local_bootstrap(stdClass $CFG): void
{
    $local = $CFG->localcachedir . '/bootstrap.php';
    $shared = $CFG->cachedir . '/bootstrap.php';
    if (!is_readable($local) && is_readable($shared) && make_directory($CFG->localcachedir)) {
        copy($shared, $local);
    }
    if (!is_readable($local)) {
        return;
    }
    require $local;
    if (($CFG->bootstraphash ?? '') !== setup_bootstrap_hash($CFG)) {
        unset($CFG->siteidentifier);
        @unlink($local);
        @unlink($shared);
    }
}

/** Freeze the site identifier for later requests. */
function setup_store_local_bootstrap(stdClass $CFG): void
{
    $shared = $CFG->cachedir . '/bootstrap.php';
    if (empty($CFG->siteidentifier) || file_exists($shared)) {
        return;
    }
    write_whole($shared, sprintf(
        "<?php\n// Written by the sandbox.\n\$CFG->siteidentifier = %s;\n\$CFG->bootstraphash = %s;\n",
        var_export($CFG->siteidentifier, true),
        var_export(setup_bootstrap_hash($CFG), true)
    ));
}

/** Refuse work while an upgrade runs, until the time at which its lock lapses. */
function setup_upgrade_running(stdClass $CFG): void
{
    if (defined('NO_UPGRADE_CHECK') || !isset($CFG->upgraderunning)) {
        return;
    }
    if ((int)$CFG->upgraderunning < time()) {
        unset_config('upgraderunning');
        return;
    }
    throw new moodle_exception('The site is being upgraded, please come back later.');
}

/** Send a request for another address to this site's own one; say which script is asked for. */
function setup_address(stdClass $CFG): void
{
    global $SCRIPT;
    if (str_ends_with($CFG->wwwroot, '/')) {
        throw new moodle_exception('$CFG->wwwroot must not end in a slash.');
    }
    if (CLI_SCRIPT) {
        return;
    }
    $own = parse_url($CFG->wwwroot . '/');
    $host = isset($_SERVER['HTTP_HOST']) ? explode(':', $_SERVER['HTTP_HOST'])[0] : null;
    $port = (int)$_SERVER['SERVER_PORT'];
    $path = $_SERVER['SCRIPT_NAME'];
    $secure = !in_array(strtolower($_SERVER['HTTPS'] ?? ''), ['', 'off'], true);
    $sameport = empty($own['port']) || $own['port'] === $port;

    if ($host !== null && $host !== '' && empty($CFG->reverseproxy)) {
        if ($host !== $own['host'] || !$sameport || !str_starts_with($path, $own['path'])) {
            $wanted = $_SERVER['REQUEST_URI'];
            if (str_starts_with($wanted, $own['path'])) {
                $wanted = substr($wanted, strlen($own['path']) - 1);
            }
            redirect($CFG->wwwroot . $wanted);
        }
    }
    if (empty($CFG->sslproxy)) {
        if (!$secure && $own['scheme'] === 'https') {
            redirect($CFG->wwwroot);
        }
    } else if ($own['scheme'] !== 'https') {
        throw new moodle_exception('sslproxy needs a wwwroot that begins with https.');
    }
    if (!empty($CFG->reverseproxy) && $host === $own['host'] && $sameport) {
        throw new moodle_exception('reverseproxy is set, but the site was asked for by its own address.');
    }
    $SCRIPT = substr($path, strlen($own['path']) - 1);
}

function redirect(string $url): never
{
    header('Location: ' . preg_replace('/[\r\n]/', '', $url), true, 303);
    exit;
}

/** The site's own course; null while the site is not installed. */
function get_site(): ?stdClass
{
    global $CFG, $DB;
    return empty($CFG->version) ? null : $DB->get_record('course', ['category' => 0]);
}

function setup_content_type(): void
{
    if (!CLI_SCRIPT) {
        header('Content-Type: ' . (AJAX_SCRIPT ? 'application/json' : 'text/html') . '; charset=utf-8');
    }
}

/** Begin the maintenance that was announced, once its time has come. */
function setup_maintenance_later(stdClass $CFG): void
{
    if (CLI_SCRIPT || empty($CFG->maintenance_later) || (int)$CFG->maintenance_later > time()) {
        return;
    }
    enable_cli_maintenance_mode();
    unset_config('maintenance_later');
    redirect($CFG->wwwroot . '/');
}

function enable_cli_maintenance_mode(): void
{
    global $CFG;
    $text = get_config('core', 'maintenance_message') ?: 'This site is under maintenance.';
    $template = $CFG->dataroot . '/climaintenance.template.html';
    $page = is_readable($template)
        ? str_replace('{{sitename}}', s(get_site()->fullname ?? ''), (string)file_get_contents($template))
        : '<!DOCTYPE html><html><head><title>Maintenance</title></head><body>' . $text . '</body></html>';
    write_whole($CFG->dataroot . '/climaintenance.html', $page);
}

/** Make a directory below the data directory; true when it is there. */
function make_directory(string $path): bool
{
    global $CFG;
    return is_dir($path) || @mkdir($path, (int)$CFG->directorypermissions, true) || is_dir($path);
}

/** Write a file so that a reader sees the old or the new one whole. */
function write_whole(string $path, string $content): void
{
    make_directory(dirname($path));
    $beside = $path . '.' . bin2hex(random_bytes(6));
    if (file_put_contents($beside, $content) !== strlen($content) || !rename($beside, $path)) {
        @unlink($beside);
        throw new moodle_exception('A file of the data directory could not be written.');
    }
    if (function_exists('opcache_invalidate') && str_ends_with($path, '.php')) {
        opcache_invalidate($path, true);
    }
}

/** Empty a directory; the directory itself stays. */
function empty_directory(string $path): void
{
    foreach (is_dir($path) ? scandir($path) : [] as $name) {
        if ($name === '.' || $name === '..') {
            continue;
        }
        $item = $path . '/' . $name;
        if (is_dir($item) && !is_link($item)) {
            empty_directory($item);
            @rmdir($item);
        } else {
            @unlink($item);
        }
    }
}

function random_string(int $length): string
{
    $letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
    $text = '';
    while (strlen($text) < $length) {
        $text .= $letters[random_int(0, strlen($letters) - 1)];
    }
    return $text;
}
