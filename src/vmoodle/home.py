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
        """The settings an administrator writes."""
        return self.path / "vmoodle.toml"

    @property
    def key_file(self) -> Path:
        """The key with which the registry keeps secrets."""
        return self.path / "key"

    @property
    def registry_file(self) -> Path:
        """The registry, where it is SQLite."""
        return self.path / "registry.sqlite3"

    @property
    def operations_file(self) -> Path:
        """What the engine of operations keeps, where it is SQLite."""
        return self.path / "operations.sqlite3"

    @property
    def map(self) -> Path:
        """The host map that each request reads; the web account may."""
        return self.path / "map"

    @property
    def hook(self) -> Path:
        """The PHP that each request runs; the web account may read it."""
        return self.path / "hook"

    @property
    def run(self) -> Path:
        """Locks, and what operations keep while they are under way."""
        return self.path / "run"

    @property
    def moodledata(self) -> Path:
        """The sites' files, where sites.dataroot_base names no other place."""
        return self.path / "moodledata"

    @property
    def embedded(self) -> Path:
        """The data of the database server that VMoodle itself runs."""
        return self.path / "embedded"

    @property
    def codebases(self) -> Path:
        """Private copies of code trees."""
        return self.path / "codebases"

    @property
    def components(self) -> Path:
        """Component caches of immutable codebases."""
        return self.path / "components"

    @property
    def compiled(self) -> Path:
        """Scripts that PHP has compiled, for private proofs."""
        return self.path / "compiled"

    @property
    def php_server_file(self) -> Path:
        """Which process of PHP's own web server runs in the background."""
        return self.run / "php-server.json"

    @property
    def log(self) -> Path:
        """Logs of operations, of cron and of private proofs."""
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
