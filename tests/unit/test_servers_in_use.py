"""A database server is forgotten only when nothing of VMoodle's is on it."""

from __future__ import annotations

import pytest

from vmoodle.errors import Conflict
from vmoodle.installation import Installation


def test_a_server_with_a_template_is_kept_and_the_template_named(
    installation: Installation,
) -> None:
    from vmoodle.lifecycle import server as servers
    from vmoodle.registry.models import DatabaseServer, Template

    row = DatabaseServer.objects.create(name="main", engine="mariadb", address="mariadb://x@y")
    template = Template.objects.create(name="base", server=row, directory="/nowhere")
    with pytest.raises(Conflict) as caught:
        servers.remove(row)
    assert caught.value.code == "server.used"
    assert "base" in caught.value.message
    template.delete()
    servers.remove(row)
    assert not DatabaseServer.objects.exists()
