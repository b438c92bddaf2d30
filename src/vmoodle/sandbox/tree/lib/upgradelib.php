<?php

// Bringing a site's database to the version of the code.

declare(strict_types=1);

require_once __DIR__ . '/installlib.php';

/** Upgrade the core, then the plugins. With maintenance, the web is refused until it is over. */
function upgrade_site(bool $maintenance): void
{
    global $CFG, $DB;
    $version = $release = $branch = null;
    require $CFG->dirroot . '/version.php';
    if ($maintenance) {
        cache_purge_all();
        register_shutdown_function('upgrade_finished');
        set_config('upgraderunning', (string)(time() + 300));
    }
    $target = sprintf('%.2F', $version);
    if ((float)$CFG->version < $version) {
        cli_writeln('-->System');
        upgrade_log('core', $CFG->version, $target, 'Starting core upgrade');
        upgrade_fail_if_asked();
        set_config('version', $target);
        upgrade_log('core', $target, $target, 'Core upgraded');
    }
    set_config('release', $release);
    set_config('branch', $branch);
    upgrade_plugins();
    install_tasks();
    upgrade_store_hashes();
    unset_config('outagelessupgrade');
    upgrade_finished();
    purge_caches();
}

/** Break the upgrade when the tree says so: by an error or, where the file says `kill`, by a signal. */
function upgrade_fail_if_asked(): void
{
    global $CFG;
    $file = $CFG->libdir . '/db/fail_upgrade';
    if (!file_exists($file)) {
        return;
    }
    if (trim((string)file_get_contents($file)) === 'kill') {
        posix_kill(getmypid(), SIGKILL);
    }
    // An upgrade that takes long: as long as the file says so.
    while (trim((string)@file_get_contents($file)) === 'wait') {
        usleep(20000);
    }
    if (!file_exists($file)) {
        return;
    }
    throw new moodle_exception('The upgrade failed, because lib/db/fail_upgrade asks for it.');
}

function upgrade_plugins(): void
{
    global $DB;
    foreach (component_plugin_versions() as $plugin => $version) {
        $installed = $DB->get_field('config_plugins', 'value', ['plugin' => $plugin, 'name' => 'version']);
        if ($installed !== false && (float)$version < (float)$installed) {
            throw new moodle_exception("The code of $plugin is older than its data.");
        }
        if ($installed !== (string)$version) {
            cli_writeln("-->$plugin");
            set_config('version', (string)$version, $plugin);
            upgrade_log($plugin, $installed ?: null, (string)$version, 'Plugin upgraded');
        }
    }
}

function upgrade_log(string $plugin, ?string $version, string $target, string $info): void
{
    global $DB;
    $DB->insert_record('upgrade_log', ['type' => 0, 'plugin' => $plugin, 'version' => $version, 'targetversion' => $target,
        'info' => $info, 'userid' => 0, 'timemodified' => time()]);
}

/** Let the web in again. */
function upgrade_finished(): void
{
    unset_config('upgraderunning');
}

function upgrade_store_hashes(): void
{
    set_config('allversionshash', component_versions_hash());
    set_config('allcomponenthash', component_directories_hash());
}
