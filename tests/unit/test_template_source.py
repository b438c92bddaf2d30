"""What a template was captured from stays known until another site is captured in its place."""

from __future__ import annotations

import pytest

from vmoodle.errors import Conflict
from vmoodle.installation import Installation

MEASURED = ("content_urls", "database_bytes", "files_count", "files_bytes")


@pytest.mark.parametrize(
    ("given", "source", "snapshot"),
    [
        ({"source": "template:base", "captured": "first"}, "first", "first-1"),
        ({"source": "site:second"}, "second", ""),
    ],
)
def test_an_upgrade_keeps_the_snapshot_a_template_was_made_of_and_a_refresh_does_not(
    installation: Installation, given: dict[str, str], source: str, snapshot: str
) -> None:
    from vmoodle.lifecycle.template import refresh as template_refresh
    from vmoodle.registry import operations, templates
    from vmoodle.registry.models import DatabaseServer, Operation, Template

    row = DatabaseServer.objects.create(name="main", engine="mariadb", address="mariadb://x@y")
    Template.objects.create(
        name="base", server=row, directory="/old", state="ready", source="first",
        snapshot="first-1",
    )  # fmt: skip
    with pytest.raises(Conflict) as caught:
        template_refresh.submit(installation, "base")
    assert caught.value.code == "template.sourceless"
    assert operations.recent() == []
    made = dict.fromkeys(
        ("database", "prefix", "directory", "moodle_version", "moodle_release", "versions_hash"),
        "new",
    )
    operation = operations.submit(
        "template.refresh", parameters={**made, "server": "main", **given}, node="here"
    )
    Operation.objects.filter(id=operation.id).update(result=dict.fromkeys(MEASURED, 1))
    templates.exchanged("base", operation.id)
    facts = templates.facts(templates.find("base"))
    assert (facts["source"], facts["snapshot"], facts["revision"]) == (source, snapshot, 2)
