"""Force settings on the fleet, a label or a site, and publish every site it concerns."""

from __future__ import annotations

import json

from django.db.models import QuerySet

from vmoodle.errors import InvalidInput
from vmoodle.hook.entry import refuse_protected
from vmoodle.installation import Installation
from vmoodle.lifecycle import names
from vmoodle.lifecycle.publish import changing, publish_changed
from vmoodle.moodle.config.names import CORE
from vmoodle.progress import Tell, tell_nobody
from vmoodle.registry import audit, forced, sites
from vmoodle.registry.forced import Scope
from vmoodle.registry.models import Site
from vmoodle.secret import Secret


def scope_of(site: str, label: str) -> Scope:
    """Return the scope that a shortname or a `key=value` names; neither is the whole fleet.

    Raise InvalidInput for both, NotFound.
    """
    if site and label:
        raise InvalidInput(
            "forced.scope", "A setting is forced on a site or on a label.", "Give one of the two."
        )
    if label:
        ((key, value),) = names.labels([label]).items()
        return Scope(label_key=key, label_value=value)
    return Scope(site=sites.find(site) if site else None)


def force(
    installation: Installation,
    scope: Scope,
    setting: str,
    given: str | Secret,
    tell: Tell = tell_nobody,
) -> int:
    """Force `name` or `component/name` to a value; return how many sites were published.

    A text is read as JSON when it is JSON (`true`, `12`, `["a"]`), else it is the value itself; a
    secret is always text.
    Raise InvalidInput for a setting that is VMoodle's own to set, or a value that is no JSON's.
    """
    component, name = _split(setting)
    value = _value(given)
    if not component:
        refuse_protected(name)
    with changing(installation):
        forced.force(scope, component, name, value)
        audit.record("forced.set", f"{component}/{name}".strip("/"), scope=str(scope))
        return publish_changed(installation, _concerned(scope), tell)


def release(
    installation: Installation, scope: Scope, setting: str, tell: Tell = tell_nobody
) -> int:
    """Stop forcing a setting; return how many sites were published."""
    component, name = _split(setting)
    with changing(installation):
        forced.release(scope, component, name)
        audit.record("forced.unset", f"{component}/{name}".strip("/"), scope=str(scope))
        return publish_changed(installation, _concerned(scope), tell)


def _split(setting: str) -> tuple[str, str]:
    component, separator, name = setting.rpartition("/")
    if separator:
        names.setting(component)
    # As in `config`: what Moodle reads of its core stands in $CFG itself.
    return "" if component == CORE else component, names.setting(name)


def _value(given: str | Secret) -> object:
    """Return what a text says as JSON, else the text; raise InvalidInput where JSON has no word."""
    value: object
    if isinstance(given, Secret):
        value, shown = given.reveal(), "The value"
    else:
        value, shown = _from_json(given), repr(given[:60])
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            "forced.value",
            f"{shown} cannot be written as JSON in UTF-8.",
            "Texts in UTF-8, true, false, null, numbers, lists and objects of these are fine.",
        ) from error
    return value


def _from_json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _concerned(scope: Scope) -> QuerySet[Site]:
    if scope.site is not None:
        return sites.every().filter(id=scope.site.id)
    labelled = {"labels__key": scope.label_key, "labels__value": scope.label_value}
    return sites.every().filter(**labelled) if scope.label_key else sites.every()
