<?php

// What people may do at system level: their roles, and what the roles allow, which is cached for all sessions.

declare(strict_types=1);

/** What a role says about each capability at system level; SQL is unseen until core_roledefs is dropped. */
function get_role_definition(int $roleid): array
{
    global $DB;
    $definition = cache_get('core_roledefs', (string)$roleid);
    if ($definition === false) {
        $definition = [];
        $rows = $DB->get_rows('SELECT rc.capability, rc.permission FROM {role_capabilities} rc JOIN {context} c'
            . ' ON c.id = rc.contextid JOIN {capabilities} cap ON cap.name = rc.capability'
            . ' WHERE c.contextlevel = 10 AND rc.roleid = ?', [$roleid]);
        foreach ($rows as $row) {
            $row = (object)$row;
            $definition[$row->capability] = (int)$row->permission;
        }
        cache_set('core_roledefs', (string)$roleid, $definition);
    }
    return $definition;
}

/** Whether somebody who is logged in may do it anywhere on the site. */
function has_capability(string $capability, int $userid): bool
{
    global $CFG, $DB;
    if (is_siteadmin($userid)) {
        return true;
    }
    $roles = [(int)$CFG->defaultuserroleid];
    foreach ($DB->get_records('role_assignments', ['userid' => $userid, 'contextid' => 1]) as $assignment) {
        $roles[] = (int)$assignment->roleid;
    }
    $permissions = array_map(static fn(int $role): int => get_role_definition($role)[$capability] ?? 0, $roles);
    return in_array(1, $permissions, true) && !in_array(-1000, $permissions, true);
}
