<?php

// Cache of configuration values in files, where a change of the database by hand stays unseen until they are dropped.

declare(strict_types=1);

/** The file that says which site the caches belong to. */
function cache_config_file(): string
{
    global $CFG;
    $path = $CFG->altcacheconfigpath ?? '';
    if ($path === '') {
        return $CFG->dataroot . '/muc/config.php';
    }
    return is_dir($path) ? rtrim($path, '/') . '/cacheconfig.php' : $path;
}

/** Hash of the site identifier as cached keys carry it; it is kept until the identifier is set again. */
function cache_site_hash(string $siteidentifier): string
{
    $file = cache_config_file();
    if (is_readable($file)) {
        $configuration = [];
        include $file;
        if (!empty($configuration['siteidentifier'])) {
            return $configuration['siteidentifier'];
        }
    }
    return cache_update_site_identifier($siteidentifier);
}

function cache_update_site_identifier(string $siteidentifier): string
{
    $hash = md5($siteidentifier);
    $configuration = [
        'siteidentifier' => $hash,
        'stores' => ['default_application' => ['name' => 'default_application', 'plugin' => 'file']],
    ];
    write_whole(cache_config_file(), "<?php\n\$configuration = " . var_export($configuration, true) . ";\n");
    return $hash;
}

function cache_file(string $definition, string $key): string
{
    global $CFG;
    $name = sha1(cache_site_hash((string)($CFG->siteidentifier ?? '')) . $definition . $key);
    return "$CFG->cachedir/cachestore_file/default_application/$definition/" . substr($name, 0, 3) . "-cache/$name.cache";
}

function cache_get(string $definition, string $key): array|false
{
    if (CACHE_DISABLE_ALL) {
        return false;
    }
    $file = cache_file($definition, $key);
    $content = is_readable($file) ? file_get_contents($file) : false;
    return $content === false ? false : unserialize($content, ['allowed_classes' => false]);
}

function cache_set(string $definition, string $key, array $value): void
{
    if (!CACHE_DISABLE_ALL) {
        write_whole(cache_file($definition, $key), serialize($value));
    }
}

function cache_delete(string $definition, string $key): void
{
    $file = cache_file($definition, $key);
    if (file_exists($file)) {
        @unlink($file);
    }
}

/** Drop every cached value of every definition. */
function cache_purge_all(): void
{
    global $CFG;
    empty_directory($CFG->cachedir . '/cachestore_file');
}

/** Purge the chosen kinds of caches, or all. */
function purge_caches(array $chosen = []): void
{
    global $CFG, $DB;
    $kinds = ['muc', 'courses', 'theme', 'lang', 'js', 'template', 'filter', 'other'];
    $chosen = array_filter($chosen) ? array_keys(array_filter($chosen)) : $kinds;
    $has = static fn(string $kind): bool => in_array($kind, $chosen, true);
    if ($has('muc')) {
        cache_purge_all();
    }
    foreach (['theme' => 'themerev', 'lang' => 'langrev', 'js' => 'jsrev', 'template' => 'templaterev'] as $kind => $name) {
        if ($has($kind)) {
            set_config($name, (string)max(time(), (int)get_config('core', $name) + 1));
        }
    }
    if ($has('other') || $has('courses')) {
        $DB->execute('UPDATE {course} SET cacherev = cacherev + 1');
    }
    if ($has('other')) {
        empty_directory($CFG->cachedir);
        empty_directory($CFG->localcachedir);
        set_config('localcachedirpurged', (string)time());
        set_config('scheduledtaskreset', (string)time());
        setup_store_local_bootstrap($CFG);
    }
}
