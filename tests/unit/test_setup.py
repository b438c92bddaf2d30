"""script/setup: what it leaves behind when it ends, however it ends. The programs are stand-ins."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent.parent / "script" / "setup"
LIMIT_SECONDS = 60.0
STAND_INS = {
    "dpkg-query": "exit 1",
    "sudo": '[ "$1" = -n ] && shift; exec "$@"',
    "apt-get": 'touch "$PLACE/asked"; if [ -e "$PLACE/slow" ]; then exec sleep 60; fi',
}
PYTHON = """#!/bin/sh
case "$*" in
  "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python;;
esac
"""


@dataclass(frozen=True)
class Checkout:
    """A copy of the script in a tree of its own, whose policy-rc.d is private."""

    place: Path

    @property
    def policy(self) -> Path:
        return self.place / "policy-rc.d"

    @property
    def stamps(self) -> set[str]:
        return {path.name for path in (self.place / ".venv").glob(".installed-*")}

    def start(self) -> subprocess.Popen[bytes]:
        environment = {"PATH": f"{self.place}/bin:/usr/bin:/bin", "PLACE": str(self.place)}
        return subprocess.Popen(
            [str(self.place / "script" / "setup")],
            env=environment, start_new_session=True,
            # In the background of a script SIGINT is ignored, and no shell can take that back.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def run(self) -> int:
        return self.start().wait(LIMIT_SECONDS)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    made = Checkout(tmp_path)
    (tmp_path / "script").mkdir()
    text = SCRIPT.read_text()
    assert "policy=/usr/sbin/policy-rc.d" in text
    copy = tmp_path / "script" / "setup"
    copy.write_text(text.replace("/usr/sbin/policy-rc.d", str(made.policy)))
    programs = {name: f"#!/bin/sh\n{body}\n" for name, body in STAND_INS.items()}
    programs["python3"] = PYTHON
    (tmp_path / "bin").mkdir()
    for name, body in programs.items():
        (tmp_path / "bin" / name).write_text(body)
    for path in (copy, *(tmp_path / "bin").iterdir()):
        path.chmod(0o755)
    for name in ("requirements.lock", "requirements-dev.lock", "pyproject.toml"):
        (tmp_path / name).write_text(name)
    return made


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_lets_services_start_again(
    checkout: Checkout, number: signal.Signals
) -> None:
    (checkout.place / "slow").touch()
    process = checkout.start()
    limit = time.monotonic() + LIMIT_SECONDS
    while not (checkout.place / "asked").exists():
        assert time.monotonic() < limit
        time.sleep(0.02)
    assert checkout.policy.exists()
    os.killpg(process.pid, number)
    assert process.wait(LIMIT_SECONDS) != 0
    assert not checkout.policy.exists()


def test_what_a_killed_run_left_is_known_again(checkout: Checkout) -> None:
    mark = "# made by script/setup of VMoodle, for as long as it runs"
    checkout.policy.write_text(f"#!/bin/sh\n{mark}\nexit 101\n")
    assert checkout.run() == 0
    assert not checkout.policy.exists()


def test_the_administrators_own_policy_stays(checkout: Checkout) -> None:
    checkout.policy.write_text("#!/bin/sh\nexit 101\n")
    assert checkout.run() == 0
    assert checkout.policy.read_text() == "#!/bin/sh\nexit 101\n"


def test_going_back_to_an_earlier_lock_file_installs_it(checkout: Checkout) -> None:
    lock = checkout.place / "requirements.lock"
    assert checkout.run() == 0
    first = checkout.stamps
    lock.write_text("newer")
    assert checkout.run() == 0
    assert len(checkout.stamps) == 1
    assert checkout.stamps.isdisjoint(first)
