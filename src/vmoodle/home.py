"""The home: the one directory where VMoodle keeps its state, and who may read what in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vmoodle.errors import Refused, Unavailable


@dataclass(frozen=True)
class Home:
    """The paths of one VMoodle home."""

    path: Path

    @property
    def settings_file(self) -> Path:
        return self.path / "vmoodle.toml"

    @property
    def key_file(self) -> Path:
        return self.path / "key"

    @property
    def registry_file(self) -> Path:
        return self.path / "registry.sqlite3"

    @property
    def operations_file(self) -> Path:
        return self.path / "operations.sqlite3"

    @property
    def map(self) -> Path:
        return self.path / "map"

    @property
    def hook(self) -> Path:
        return self.path / "hook"

    @property
    def run(self) -> Path:
        return self.path / "run"

    @property
    def moodledata(self) -> Path:
        return self.path / "moodledata"

    @property
    def embedded(self) -> Path:
        return self.path / "embedded"

    @property
    def codebases(self) -> Path:
        return self.path / "codebases"

    @property
    def components(self) -> Path:
        return self.path / "components"

    @property
    def compiled(self) -> Path:
        return self.path / "compiled"

    @property
    def php_server_file(self) -> Path:
        return self.run / "php-server.json"

    @property
    def log(self) -> Path:
        return self.path / "log"

    def ensure(self) -> None:
        """Create the home and its private directories.

        As root the home itself may be traversed (0711), so that the web account reaches the map
        and moodledata, but not listed; a person's home is closed to others (0700).
        Raise Unavailable when it cannot be made, Refused when somebody else owns it.
        """
        mode = 0o711 if os.geteuid() == 0 else 0o700
        try:
            if not self.path.is_dir():
                self.path.mkdir(parents=True, exist_ok=True)
                self.path.chmod(mode)
            for directory in (self.run, self.log):
                if not directory.is_dir():
                    directory.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise Unavailable(
                "home.unwritable",
                f"The home {self.path} cannot be made or written: {error.strerror}.",
                "Give VMOODLE_HOME a directory of yours, or run as the account that owns it.",
            ) from error
        owner = self.path.stat().st_uid
        if owner != os.geteuid():
            raise Refused(
                "home.owner",
                f"The home {self.path} belongs to another account (uid {owner}).",
                "Run VMoodle as that account, or set VMOODLE_HOME to a directory of yours.",
            )
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise Unavailable(
                "home.unwritable",
                f"The home {self.path} cannot be written by this account.",
                "Run VMoodle as the account that owns it.",
            )


def locate_home() -> Home:
    """Return the home: VMOODLE_HOME, else /var/lib/vmoodle for root, else the user's data home."""
    named = os.environ.get("VMOODLE_HOME")
    if named:
        return Home(Path(named).expanduser().absolute())
    if os.geteuid() == 0:
        return Home(Path("/var/lib/vmoodle"))
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Home(Path(data).expanduser() / "vmoodle")
