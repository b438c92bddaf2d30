"""Moodle's own reset of a role to its archetype: what it would do, and doing it.

Which defaults there are stands in the code of every plugin, so that Moodle itself is asked.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from vmoodle.errors import Failed
from vmoodle.moodle.php.answer import read_answer
from vmoodle.moodle.roles.plan import CellChange, Part, RolePlan

WHAT = "Moodle's reset of roles"

# lib/accesslib.php, reset_role_capabilities and get_default_capabilities, 4.5 and 5.1: the role's
# rows of the system context become the archetype's defaults. In one transaction, as the
# administrator; the cache is dropped once more behind it, for a request may have filled it.
CODE = r"""
$given = json_decode(stream_get_contents(STDIN), true);
\core\session\manager::set_user(get_admin());
$system = context_system::instance();
$told = $changed = [];
$transaction = $DB->start_delegated_transaction();
foreach ($DB->get_records('role') as $role) {
    if (!in_array($role->shortname, $given['roles'], true)) {
        continue;
    }
    $read = static fn() => array_map(intval(...), $DB->get_records_menu('role_capabilities',
        ['roleid' => $role->id, 'contextid' => $system->id], '', 'capability, permission'));
    $old = $read();
    if ($given['apply']) {
        reset_role_capabilities($role->id);
        $changed[] = $role->id;
        $new = $read();
    } else {
        $new = array_map(intval(...), get_default_capabilities($role->archetype));
    }
    $told[$role->shortname] = [$role->archetype, (object) $old, (object) $new];
}
$transaction->allow_commit();
foreach ($changed as $id) {
    accesslib_clear_role_cache($id);
}
echo "\n", json_encode((object) $told);
"""


def as_input(roles: Collection[str], *, apply: bool) -> str:
    """Return what the code is given; without `apply` it only says what would become of them."""
    return json.dumps({"roles": list(roles), "apply": apply})


def read_output(output: str) -> tuple[list[RolePlan], list[str]]:
    """Return what the reset changed, or would change, of each role, and the roles of no archetype.

    Raise Failed `role.reset` for an output that is no answer.
    """
    try:
        answer: Mapping[str, Any] = read_answer(output)
        plans = [
            RolePlan(role, tuple(_changes(old, new)))
            for role, (_archetype, old, new) in answer.items()
        ]
    except (ValueError, TypeError, AttributeError) as error:
        raise Failed(
            "role.reset",
            "Moodle did not say what its reset of roles does.",
            "Look at the site's own log, and reset the role in its administration.",
        ) from error
    return plans, [role for role, (archetype, _old, _new) in answer.items() if not archetype]


def _changes(old: Mapping[str, int], new: Mapping[str, int]) -> list[CellChange]:
    before, after = _set(old), _set(new)
    return [
        CellChange(Part.PERMISSION, name, before.get(name), after.get(name))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def _set(permissions: Mapping[str, int]) -> dict[str, int]:
    # To inherit is to have no row.
    return {name: int(value) for name, value in permissions.items() if value}
