<?php

// Tables and first rows of a new site.

declare(strict_types=1);

require_once __DIR__ . '/upgradelib.php';
require_once __DIR__ . '/tasklib.php';

/** Make the site that the options describe in an empty database. */
function install_site(array $options): void
{
    global $CFG, $DB;
    $version = $release = $branch = null;
    require $CFG->dirroot . '/version.php';

    install_tables();
    $DB->in_transaction(static function () use ($options, $version, $release, $branch): void {
        install_contexts_and_courses($options);
        install_mnet_hosts();
        install_users($options);
        install_roles();
        install_settings($options);
        install_plugins();
        install_tasks();
        foreach (['version' => sprintf('%.2F', $version), 'release' => $release, 'branch' => $branch] as $name => $value) {
            set_config($name, $value);
        }
        upgrade_store_hashes();
    });
    purge_caches();
}

function install_tables(): void
{
    global $CFG, $DB;
    foreach (require $CFG->libdir . '/db/tables.php' as $table => $definition) {
        foreach ($DB->create_table_sql($table, $definition) as $statement) {
            $DB->execute($statement);
        }
        echo "-->table $table\n";
    }
}

function install_contexts_and_courses(array $options): void
{
    global $DB;
    $now = time();
    // Level and instance of system, front page, first category, guest and administrator, in the order of their ids.
    foreach ([[10, 0], [50, 1], [40, 1], [30, 1], [30, 2]] as $number => [$level, $instance]) {
        $id = $number + 1;
        $DB->insert_record('context', ['contextlevel' => $level, 'instanceid' => $instance,
            'path' => $id === 1 ? '/1' : "/1/$id", 'depth' => $id === 1 ? 1 : 2]);
    }
    $DB->insert_record('course', ['category' => 0, 'sortorder' => 0, 'fullname' => $options['fullname'],
        'shortname' => $options['shortname'], 'summary' => $options['summary'], 'format' => 'site', 'newsitems' => 3,
        'timecreated' => $now, 'timemodified' => $now, 'cacherev' => $now]);
    $DB->insert_record('course_categories', ['name' => 'Category 1', 'descriptionformat' => 1, 'sortorder' => 10000,
        'timemodified' => $now, 'depth' => 1, 'path' => '/1']);
}

function install_mnet_hosts(): void
{
    global $CFG, $DB;
    $DB->insert_record('mnet_host', ['wwwroot' => $CFG->wwwroot, 'ip_address' => 'UNKNOWN', 'public_key' => '']);
    $DB->insert_record('mnet_host', ['name' => 'All Hosts', 'public_key' => '']);
    $applications = [
        ['moodle', 'Moodle', '/mnet/xmlrpc/server.php', '/auth/mnet/land.php', '/auth/mnet/jump.php'],
        ['mahara', 'Mahara', '/api/xmlrpc/server.php', '/auth/xmlrpc/land.php', '/auth/xmlrpc/jump.php'],
    ];
    foreach ($applications as [$name, $title, $server, $land, $jump]) {
        $DB->insert_record('mnet_application', ['name' => $name, 'display_name' => $title,
            'xmlrpc_server_url' => $server, 'sso_land_url' => $land, 'sso_jump_url' => $jump]);
    }
}

function install_users(array $options): void
{
    global $DB;
    $common = ['auth' => 'manual', 'confirmed' => 1, 'mnethostid' => 1, 'lang' => $options['lang'], 'timemodified' => time()];
    $DB->insert_record('user', $common + ['username' => 'guest', 'password' => hash_internal_user_password('guest'),
        'firstname' => 'Guest user', 'lastname' => ' ', 'email' => 'root@localhost',
        'description' => 'Whoever looks around without an account.']);
    $DB->insert_record('user', $common + ['username' => $options['adminuser'],
        'password' => hash_internal_user_password($options['adminpass']), 'firstname' => 'Admin', 'lastname' => 'User',
        'email' => $options['adminemail'], 'maildisplay' => 1, 'lastip' => '0.0.0.0']);
}

function install_roles(): void
{
    global $CFG, $DB;
    $roles = [];
    foreach (['manager', 'coursecreator', 'editingteacher', 'teacher', 'student', 'guest', 'user', 'frontpage'] as $name) {
        $roles[$name] = $DB->insert_record('role', ['name' => '', 'shortname' => $name, 'description' => '',
            'sortorder' => count($roles) + 1, 'archetype' => $name]);
    }
    $levels = ['manager' => [10, 40, 50], 'coursecreator' => [10, 40], 'editingteacher' => [50, 70], 'teacher' => [50, 70],
        'student' => [50, 70]];
    foreach ($levels as $name => $list) {
        foreach ($list as $level) {
            $DB->insert_record('role_context_levels', ['roleid' => $roles[$name], 'contextlevel' => $level]);
        }
    }
    $allowed = [
        'assign' => [1 => [1, 2, 3, 4, 5], 3 => [4, 5]],
        'override' => [1 => [1, 2, 3, 4, 5, 6, 7, 8], 3 => [4, 5, 6]],
        'switch' => [1 => [3, 4, 5, 6], 3 => [4, 5, 6], 4 => [5, 6]],
        'view' => [1 => [1, 2, 3, 4, 5, 6, 7, 8], 2 => [2, 3, 4, 5], 3 => [2, 3, 4, 5], 4 => [2, 3, 4, 5], 5 => [2, 3, 4, 5]],
    ];
    foreach ($allowed as $what => $matrix) {
        foreach ($matrix as $role => $others) {
            foreach ($others as $other) {
                $DB->insert_record("role_allow_$what", ['roleid' => $role, "allow$what" => $other]);
            }
        }
    }
    foreach (require $CFG->libdir . '/db/access.php' as $name => [$kind, $level, $component, $risks, $archetypes]) {
        $DB->insert_record('capabilities', ['name' => $name, 'captype' => $kind, 'contextlevel' => $level,
            'component' => $component, 'riskbitmask' => $risks]);
        foreach ($archetypes as $archetype => $permission) {
            $DB->insert_record('role_capabilities', ['contextid' => 1, 'roleid' => $roles[$archetype],
                'capability' => $name, 'permission' => $permission, 'timemodified' => time(), 'modifierid' => 0]);
        }
    }
}

function install_settings(array $options): void
{
    global $CFG, $DB;
    $host = (string)parse_url($CFG->wwwroot, PHP_URL_HOST);
    $now = (string)time();
    $own = [
        'siteidentifier' => random_string(32) . $host,
        'calendar_exportsalt' => random_string(60),
        'badges_badgesalt' => 'badges' . $now,
        'noreplyaddress' => 'noreply@' . $host,
        'supportemail' => $options['supportemail'] ?: $options['adminemail'],
        'supportname' => 'Admin User',
        'geoip2file' => $CFG->dataroot . '/geoip/GeoIP-City.mmdb',
        'chat_serverhost' => $host,
        'lang' => $options['lang'],
        'themerev' => $now,
        'jsrev' => $now,
        'templaterev' => $now,
        'langrev' => $now,
    ];
    foreach ((require $CFG->libdir . '/db/settings.php') + $own as $name => $value) {
        $DB->insert_record('config', ['name' => $name, 'value' => $value]);
    }
    $CFG->siteidentifier = $own['siteidentifier'];
    cache_update_site_identifier($own['siteidentifier']);
    $DB->insert_record('config_plugins', ['plugin' => 'auth_shibboleth', 'name' => 'auth_instructions',
        'value' => "Log in at $CFG->wwwroot/auth/shibboleth/index.php."]);
    foreach (['mod_lti' => ['kid', 'privatekey'], 'enrol_lti' => ['lti_13_kid', 'lti_13_privatekey']] as $plugin => [$kid, $key]) {
        $DB->insert_record('config_plugins', ['plugin' => $plugin, 'name' => $kid, 'value' => bin2hex(random_bytes(10))]);
        $DB->insert_record('config_plugins', ['plugin' => $plugin, 'name' => $key, 'value' => install_private_key()]);
    }
    add_to_config_log('calendar_exportsalt', null, $own['calendar_exportsalt'], null);
}

function install_private_key(): string
{
    // An elliptic curve's key is made in a millisecond; nothing in the sandbox signs with it.
    $key = openssl_pkey_new(['private_key_type' => OPENSSL_KEYTYPE_EC, 'curve_name' => 'prime256v1']);
    openssl_pkey_export($key, $text);
    return $text;
}

function install_plugins(): void
{
    global $DB;
    foreach (component_plugin_versions() as $plugin => $version) {
        $DB->insert_record('config_plugins', ['plugin' => $plugin, 'name' => 'version', 'value' => (string)$version]);
        [$type, $name] = explode('_', $plugin, 2);
        if ($type === 'mod') {
            $DB->insert_record('modules', ['name' => $name, 'visible' => 1]);
        } else if ($type === 'block') {
            $DB->insert_record('block', ['name' => $name, 'visible' => 1]);
        }
    }
}

/** Write the scheduled tasks that the database lacks. */
function install_tasks(): void
{
    global $CFG, $DB;
    $ranges = ['minute' => [0, 59], 'hour' => [0, 23], 'dayofweek' => [0, 6]];
    foreach (require $CFG->libdir . '/db/tasks.php' as [$component, $class, $minute, $hour, $day, $month, $dayofweek]) {
        if ($DB->record_exists('task_scheduled', ['classname' => $class])) {
            continue;
        }
        $times = ['minute' => $minute, 'hour' => $hour, 'day' => $day, 'month' => $month, 'dayofweek' => $dayofweek];
        foreach ($ranges as $field => [$from, $to]) {
            $times[$field] = $times[$field] === 'R' ? (string)random_int($from, $to) : $times[$field];
        }
        $DB->insert_record('task_scheduled', ['component' => $component, 'classname' => $class, 'lastruntime' => 0,
            'nextruntime' => task_next_time($times, time()), 'faildelay' => 0] + $times);
    }
}
