<?php

// Settings: the database's, overridden by what config.php forced.

declare(strict_types=1);

/** One setting, false when there is none; or, without a name, all of a component as an object. */
function get_config(?string $plugin, ?string $name = null): mixed
{
    global $CFG, $DB;
    $core = in_array($plugin, [null, '', 'core', 'moodle'], true);
    $plugin = $core ? 'core' : $plugin;
    $forced = $core ? $CFG->config_php_settings : (array)($CFG->forced_plugin_settings[$plugin] ?? []);
    $CFG->siteidentifier ??= $DB->get_field('config', 'value', ['name' => 'siteidentifier']);

    if ($name !== null && $name !== '') {
        if (array_key_exists($name, $forced)) {
            return is_scalar($forced[$name]) ? (string)$forced[$name] : '';
        }
        if ($core && $name === 'siteidentifier') {
            return $CFG->siteidentifier;
        }
    }
    $values = cache_get('core_config', $plugin);
    if ($values === false) {
        $values = $core
            ? $DB->get_records_menu('config', [], 'name', 'value')
            : $DB->get_records_menu('config_plugins', ['plugin' => $plugin], 'name', 'value');
        cache_set('core_config', $plugin, $values);
    }
    if ($name !== null && $name !== '') {
        return $values[$name] ?? false;
    }
    if ($core) {
        $values['siteidentifier'] = $CFG->siteidentifier;
    }
    foreach ($forced as $key => $value) {
        if (is_scalar($value)) {
            $values[$key] = (string)$value;
        } else {
            unset($values[$key]);
        }
    }
    return (object)$values;
}

/** Set a setting of the core, or of a plugin; null removes it. */
function set_config(string $name, ?string $value, ?string $plugin = null): void
{
    global $CFG, $DB;
    if ($value === null) {
        unset_config($name, $plugin);
        return;
    }
    $core = in_array($plugin, [null, '', 'core', 'moodle'], true);
    $table = $core ? 'config' : 'config_plugins';
    $where = $core ? ['name' => $name] : ['plugin' => $plugin, 'name' => $name];
    $old = $DB->get_field($table, 'value', $where);
    if ($old === false) {
        $DB->insert_record($table, $where + ['value' => $value]);
    } else if ($old !== $value) {
        $DB->set_field($table, 'value', $value, $where);
    }
    if ($core && !isset($CFG->config_php_settings[$name])) {
        $CFG->$name = $value;
    }
    if ($core && $name === 'siteidentifier') {
        cache_update_site_identifier($value);
    }
    cache_delete('core_config', $core ? 'core' : $plugin);
}

function unset_config(string $name, ?string $plugin = null): void
{
    global $CFG, $DB;
    $core = in_array($plugin, [null, '', 'core', 'moodle'], true);
    $DB->delete_records($core ? 'config' : 'config_plugins', $core ? ['name' => $name] : ['plugin' => $plugin, 'name' => $name]);
    if ($core && !isset($CFG->config_php_settings[$name])) {
        unset($CFG->$name);
    }
    cache_delete('core_config', $core ? 'core' : $plugin);
}

/** Take the site's settings from its database; an empty database is a site not yet installed. */
function initialise_cfg(): void
{
    global $CFG;
    try {
        $values = get_config('core');
    } catch (dml_exception $error) {
        unset($CFG->siteidentifier);
        return;
    }
    foreach ($values as $name => $value) {
        $CFG->$name = $value;
    }
}

function add_to_config_log(string $name, ?string $old, ?string $new, ?string $plugin): void
{
    global $DB;
    $DB->insert_record('config_log', ['userid' => 0, 'timemodified' => time(), 'plugin' => $plugin ?: null,
        'name' => $name, 'value' => $new, 'oldvalue' => $old]);
}
