"""Where the demo lives and what it remembers between runs."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from vmoodle.errors import Refused
from vmoodle.files import write_atomically
from vmoodle.home import Home


@dataclass
class DemoState:
    """The port of the demo's web server and, by shortname, the encrypted admin passwords."""

    port: int = 0
    passwords: dict[str, str] = field(default_factory=dict)


def demo_home() -> Home:
    """Return the demo's own home, VMOODLE_DEMO_HOME when set; VMOODLE_HOME is never the demo's."""
    named = os.environ.get("VMOODLE_DEMO_HOME")
    if named:
        return Home(Path(named).expanduser().absolute())
    if os.geteuid() == 0:
        return Home(Path("/var/lib/vmoodle-demo"))
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Home(Path(cache).expanduser().absolute() / "vmoodle" / "demo")


def read_state(home: Home) -> DemoState:
    """Return what the last run remembered; defaults when there was none."""
    try:
        return DemoState(**json.loads(_file(home).read_text(encoding="utf-8")))
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return DemoState()


def write_state(home: Home, state: DemoState) -> None:
    """Remember the state (0600)."""
    write_atomically(_file(home), json.dumps(asdict(state)), mode=0o600)


def refuse_other_home(home: Home) -> None:
    """Raise Refused when something that is not a demo lives in the directory."""
    if not _file(home).exists() and home.path.is_dir() and any(home.path.iterdir()):
        raise Refused(
            "demo.home",
            f"{home.path} is not empty and is not the home of a demo.",
            "Name an empty directory in VMOODLE_DEMO_HOME.",
        )


def _file(home: Home) -> Path:
    return home.path / "demo.json"
