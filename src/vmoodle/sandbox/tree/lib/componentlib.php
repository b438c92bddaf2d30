<?php

// Which plugins the tree holds, their versions, and the hashes by which an upgrade is found to be pending.

declare(strict_types=1);

const COMPONENT_IGNORED = ['CVS', '_vti_cnf', 'amd', 'classes', 'db', 'fonts', 'lang', 'pix', 'simpletest', 'templates',
    'tests', 'yui'];

/** Directory of components.json: beside this file, or above a public/ web root. */
function component_source_root(): string
{
    global $CFG;
    return $CFG->root ?? $CFG->dirroot;
}

/** Version of the code, as a number. */
function component_core_version(): float
{
    global $CFG;
    $version = null;
    include $CFG->dirroot . '/version.php';
    return (float)$version;
}

/** Plugin types and their directories: those of components.json, then subplugins of modules, tools and local plugins. */
function component_read_types(): array
{
    global $CFG;
    $root = component_source_root();
    $source = json_decode((string)file_get_contents($root . '/lib/components.json'), true);
    $types = array_map(static fn(string $path): string => "$root/$path", $source['plugintypes']);
    foreach (['mod', 'editor', 'tool', 'local'] as $owner) {
        foreach (isset($types[$owner]) ? component_list_plugins($owner, $types[$owner]) : [] as $directory) {
            $file = $directory . '/db/subplugins.json';
            $subplugins = is_readable($file) ? json_decode((string)file_get_contents($file), true) : [];
            // The newer key counts from the plugin's own directory, the older one from the web root.
            $found = [];
            foreach ($subplugins['subplugintypes'] ?? [] as $type => $path) {
                $found[$type] = "$directory/$path";
            }
            foreach ($found ? [] : $subplugins['plugintypes'] ?? [] as $type => $path) {
                $found[$type] = "$CFG->dirroot/$path";
            }
            foreach ($found as $type => $path) {
                $usable = preg_match('/^[a-z][a-z0-9]*$/', $type) && !isset($source['subsystems'][$type]) && is_dir($path);
                $types += $usable ? [$type => $path] : [];
            }
        }
    }
    return $types;
}

/** Subsystems with a directory of their own: no module is called as one of them. */
function component_read_subsystems(): array
{
    static $found = null;
    $file = component_source_root() . '/lib/components.json';
    return $found ??= array_filter(json_decode((string)file_get_contents($file), true)['subsystems']);
}

function component_list_plugins(string $type, string $directory): array
{
    $plugins = [];
    $taken = $type === 'mod' ? component_read_subsystems() : [];
    foreach (is_dir($directory) ? scandir($directory) : [] as $name) {
        $ignored = in_array($name, COMPONENT_IGNORED, true) && !($type === 'auth' && $name === 'db');
        $valid = $type === 'mod' ? '/^[a-z][a-z0-9]*$/' : '/^[a-z](?:[a-z0-9_](?!__))*[a-z0-9]+$/';
        if (!$ignored && !isset($taken[$name]) && preg_match($valid, $name) && is_dir("$directory/$name")) {
            $plugins[$name] = "$directory/$name";
        }
    }
    ksort($plugins);
    return $plugins;
}

/** What the component cache holds: types and plugins with absolute paths. */
function component_read_tree(): array
{
    $types = component_read_types();
    $plugins = [];
    foreach ($types as $type => $directory) {
        $plugins[$type] = component_list_plugins($type, $directory);
    }
    return ['plugintypes' => $types, 'plugins' => $plugins, 'version' => component_core_version()];
}

function component_cache_content(): string
{
    return "<?php\n\$cache = " . var_export(component_read_tree(), true) . ";\n";
}

/** Plugin types from the cache: the fleet's own file, believed unseen, or one in the cache directory. */
function component_types(): array
{
    global $CFG;
    if (CACHE_DISABLE_ALL || defined('IGNORE_COMPONENT_CACHE')) {
        return component_read_types();
    }
    $cache = [];
    if (!empty($CFG->alternative_component_cache) && is_readable($CFG->alternative_component_cache)) {
        include $CFG->alternative_component_cache;
        return $cache['plugintypes'];
    }
    $file = $CFG->cachedir . '/core_component.php';
    if (is_readable($file)) {
        include $file;
        $here = str_starts_with(($cache['plugintypes']['mod'] ?? '') . '/', $CFG->dirroot . '/');
        if ($here && ($cache['version'] ?? null) === component_core_version()) {
            return $cache['plugintypes'];
        }
    }
    write_whole($file, component_cache_content());
    return component_read_types();
}

/** Version of every plugin on disk, by full name; null for one without a version. */
function component_plugin_versions(): array
{
    $versions = [];
    foreach (component_types() as $type => $directory) {
        foreach (component_list_plugins($type, $directory) as $name => $path) {
            $plugin = new stdClass();
            $plugin->version = null;
            $module = $plugin;
            if (is_readable($path . '/version.php')) {
                include $path . '/version.php';
            }
            $versions[$type . '_' . $name] = $plugin->version;
        }
    }
    return $versions;
}

function component_versions_hash(): string
{
    return sha1(serialize(['core' => component_core_version()] + component_plugin_versions()));
}

/** Hash over every db directory, keyed by absolute path: another path is another hash. */
function component_directories_hash(): string
{
    global $CFG;
    $directories = [$CFG->libdir . '/db'];
    foreach (component_types() as $type => $directory) {
        foreach (component_list_plugins($type, $directory) as $path) {
            $directories[] = $path . '/db';
        }
    }
    $hashes = [];
    foreach ($directories as $directory) {
        $files = is_dir($directory) ? array_filter(glob($directory . '/*'), 'is_file') : null;
        $hashes[$directory] = $files === null ? sha1('') : sha1(serialize(array_map('sha1_file', array_values($files))));
    }
    return sha1(serialize($hashes));
}

/** Whether the code on disk differs from what the database was made for. */
function moodle_needs_upgrading(bool $honourlock = true): bool
{
    global $CFG, $DB;
    if ($honourlock && $DB->get_field('config', 'value', ['name' => 'outagelessupgrade'])) {
        return false;
    }
    return empty($CFG->version) || empty($CFG->allversionshash) || $CFG->allversionshash !== component_versions_hash();
}
