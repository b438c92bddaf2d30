<?php
// What an administrator would write to sync one role by Moodle's own API: the role that is
// described by the file of the first argument becomes so on this site. Prints what it changed.
define('CLI_SCRIPT', true);
require(getenv('VMOODLE_BENCH_ROOT') . '/config.php');

$wanted = json_decode(file_get_contents($argv[1]), true, flags: JSON_THROW_ON_ERROR);
\core\session\manager::set_user(get_admin());
$role = $DB->get_record('role', ['shortname' => $wanted['shortname']], '*', MUST_EXIST);
$system = context_system::instance();
$count = 0;

$has = $DB->get_records_menu(
    'role_capabilities',
    ['roleid' => $role->id, 'contextid' => $system->id],
    '',
    'capability, permission'
);
foreach ($wanted['permissions'] as $capability => $permission) {
    if ((int) ($has[$capability] ?? 0) !== $permission) {
        assign_capability($capability, $permission, $role->id, $system->id, true);
        $count++;
    }
}
foreach (array_diff_key($has, $wanted['permissions']) as $capability => $permission) {
    unassign_capability($capability, $role->id, $system->id);
    $count++;
}

set_role_contextlevels($role->id, $wanted['context_levels']);
$ids = $DB->get_records_menu('role', null, '', 'shortname, id');
foreach ($wanted['allows'] as $kind => $others) {
    $has = $DB->get_fieldset_select("role_allow_$kind", "allow$kind", 'roleid = ?', [$role->id]);
    foreach (array_diff(array_map(fn($name) => $ids[$name], $others), $has) as $other) {
        ("core_role_set_{$kind}_allowed")($role->id, $other);
        $count++;
    }
}
echo $count, "\n";
