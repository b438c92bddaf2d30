"""States of plugins that Moodle itself sets, because it runs the plugin's code on the way."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from vmoodle.errors import Failed, Refused
from vmoodle.moodle.caches.invalidation import Change
from vmoodle.moodle.php.answer import read_answer
from vmoodle.moodle.plugins.rules import FILTER_STATES, PluginState, split

WHAT = "Moodle's change of plugins"

# All of them or none, as the first administrator. A plugin says no by an exception or by false.
# What was cached meanwhile may be what was never committed: drop it in each case.
SET_STATES = r"""
require_once($CFG->libdir . '/adminlib.php');
\core\session\manager::set_user(get_admin());
$answer = ['set' => true];
$at = '';
$transaction = $DB->start_delegated_transaction();
try {
    foreach (json_decode(stream_get_contents(STDIN), true) as [$type, $name, $state]) {
        $at = "{$type}_{$name}";
        $class = core_plugin_manager::resolve_plugininfo_class($type);
        if (!$class::enable_plugin($name, $state)) {
            throw new Exception('it does not let itself be changed');
        }
    }
    $at = '';
    $transaction->allow_commit();
} catch (Throwable $reason) {
    $DB->force_transaction_rollback();
    $answer = ['set' => false, 'plugin' => $at, 'why' => $reason->getMessage()];
}
echo "\n", json_encode($answer, JSON_INVALID_UTF8_SUBSTITUTE);
"""

STALE = frozenset({Change.PLUGIN_STATES, Change.SETTINGS, Change.MESSAGE_PROCESSORS})
"""What enable_plugin of all kinds changes."""

# What enable_plugin of lib/classes/plugininfo takes; a kind of repository that is none is -1.
_NUMBERS = {PluginState.ENABLED: 1, PluginState.HIDDEN: 0, PluginState.DISABLED: 0}
_NO_REPOSITORY = -1


@dataclass(frozen=True)
class Refusal:
    """A plugin that did not let itself be changed, and what it said; nothing was changed."""

    component: str
    why: str

    def error(self) -> Refused:
        """Return the error for it."""
        return Refused(
            "plugin.state.refused",
            f"{self.component} does not let itself be changed on the site: {self.why}.",
            "Nothing was changed there. Give the plugin what it asks for in the site's "
            "administration, or leave it out.",
        )


def as_input(states: Iterable[tuple[str, PluginState]]) -> str:
    """Return what the code is given: plugins and the states they get, in this order."""
    return json.dumps([[*split(component), _number(component, s)] for component, s in states])


def read_output(output: str) -> Refusal | None:
    """Return which plugin refused, None where all were set.

    Raise Failed `plugin.state.unset` where Moodle could not, for no plugin's sake.
    """
    try:
        answer = read_answer(output)
        if answer["set"]:
            return None
        component, why = str(answer["plugin"]), str(answer["why"]).strip().rstrip(".")
    except (ValueError, TypeError, KeyError) as error:
        raise Failed(
            "plugin.state.unset",
            "Moodle did not say whether it has set the states.",
            "Look at the site's own log; `vmoodle plugin list` shows the states.",
        ) from error
    if not component:
        raise Failed(
            "plugin.state.unset", f"Moodle could not set the states: {why}.", "Try it again."
        )
    return Refusal(component, why)


def _number(component: str, state: PluginState) -> int:
    kind, _name = split(component)
    if kind == "filter":
        return FILTER_STATES[state]
    if kind == "repository" and state == PluginState.DISABLED:
        return _NO_REPOSITORY
    return _NUMBERS[state]
