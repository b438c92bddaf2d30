"""What comes of many sites: one that goes wrong at the very end is told, and stops no other."""

from __future__ import annotations

import os
import resource
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from vmoodle.cli.outcomes import carry_out_each, ordered_each
from vmoodle.cli.passwords import new_file, write
from vmoodle.errors import Conflict, InvalidInput, VMoodleError
from vmoodle.installation import Installation
from vmoodle.operations.node import NodeLock


def test_what_the_end_of_one_site_raises_is_that_sites_failure_alone(
    installation: Installation,
) -> None:
    from vmoodle.fleet.bulk.outcome import Outcome
    from vmoodle.registry import operations
    from vmoodle.registry.models import Operation, OperationState

    held = Conflict("site.state", "Somebody holds it.", "Wait.")
    made: dict[str, Operation | VMoodleError] = {"refused": held}
    for name in ("one", "two"):
        made[name] = operation = operations.submit("site.create", site=name, node=installation.node)
        operations.finished(operation.id, OperationState.DONE)

    def done(_place: int, ended: Operation) -> Outcome:
        if ended.subject == "one":
            raise held
        return Outcome(ended.subject, "created", ended.id)

    other_process = NodeLock(installation.home.run)
    assert other_process.try_acquire()
    outcomes = carry_out_each(installation, ordered_each(made), done)
    other_process.release()
    assert [(one.site, one.outcome, one.code) for one in outcomes] == [
        ("refused", "failed", "site.state"), ("one", "failed", "site.state"), ("two", "created", "")
    ]  # fmt: skip


def test_a_password_that_does_not_fit_on_the_disk_leaves_those_before_it(
    installation: Installation, tmp_path: Path
) -> None:
    from vmoodle.registry import operations

    operation = operations.submit("site.create", site="two", node=installation.node)
    path = tmp_path / "passwords"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with new_file(path) as out:
        assert out is not None
        write(out, "one;admin;first\n", operation)
        resource.setrlimit(resource.RLIMIT_FSIZE, (os.fstat(out).st_size + 5, hard))
        try:
            with pytest.raises(InvalidInput) as caught:
                write(out, "two;admin;second\n", operation)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert operation.id in caught.value.hint
        write(out, "three;admin;third\n", operation)
    assert path.read_text() == "one;admin;first\nthree;admin;third\n"


def test_the_empty_password_file_of_a_killed_call_is_written_to(tmp_path: Path) -> None:
    path = tmp_path / "password"
    child = os.fork()
    if child == 0:
        with new_file(path):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert path.read_bytes() == b""
    with new_file(path) as out:
        assert out is not None
        os.write(out, b"word\n")
    assert path.read_text() == "word\n"


@pytest.mark.parametrize(
    "there", ["open elsewhere", "full", "readable", "link", "hard link", "pipe"]
)
def test_what_is_no_empty_file_of_a_killed_call_is_refused_and_left(
    tmp_path: Path, there: str
) -> None:
    path, other = tmp_path / "password", tmp_path / "other"
    with ExitStack() as stack:
        if there == "open elsewhere":
            stack.enter_context(new_file(path))
        elif there == "pipe":
            os.mkfifo(path, 0o600)
        else:
            other.touch(0o644 if there == "readable" else 0o600)
            other.write_text("kept" if there == "full" else "")
            place = {"link": path.symlink_to, "hard link": path.hardlink_to}
            place.get(there, lambda _target: other.rename(path))(other)
        with pytest.raises(InvalidInput) as caught, new_file(path):
            pass
        assert caught.value.code == "secret.unwritable"
        assert path.is_fifo() or path.read_text() == ("kept" if there == "full" else "")
