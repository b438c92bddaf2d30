"""The doctor on a machine where not all can be looked at."""

from __future__ import annotations

import os

import pytest

from vmoodle.installation import Installation


def test_a_look_that_the_disk_refuses_is_a_finding_and_the_other_checks_go_on(
    installation: Installation,
) -> None:
    from vmoodle.doctor.examination import examine
    from vmoodle.registry.models import DatabaseServer, Template

    server = DatabaseServer.objects.create(name="gone", engine="mariadb", address="mariadb://x@y")
    # No file system takes such a name, to any account.
    Template.objects.create(name="base", server=server, directory="/" + "x" * 400)
    (installation.home.path / "vmoodle.toml").touch(0o644)
    (installation.home.path / "vmoodle.toml").chmod(0o644)
    found = {finding.check: finding for finding in examine(installation)}
    assert {"V001", "V070"} <= set(found)
    assert "File name too long" in found["V070"].message
    assert found["V070"].hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root asks for another account")
def test_a_directory_closed_to_the_web_account_is_named_and_how_to_open_it(
    installation: Installation,
) -> None:
    from vmoodle.doctor.checks_machine import web_account_reaches

    if installation.web_account.pw_uid == 0:
        pytest.skip("no account of a web server here")
    installation.home.map.mkdir(parents=True, exist_ok=True)
    installation.home.map.chmod(0o700)
    os.chown(installation.home.map, 0, 0)
    (found,) = web_account_reaches(installation)
    assert str(installation.home.map) in found[0]
    assert str(installation.home.map) in found[1]
    assert "chmod 0750" in found[1]
