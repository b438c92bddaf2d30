"""A fleet whose executors are killed while they copy sites, and what must be true afterwards."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tests import servers
from tests.checksums import table_checksums
from tests.contract.copies import OLD, CopyFleet
from tests.fleet import Fleet

from vmoodle.engines.protocol import SiteDatabase, open_engine
from vmoodle.store.store import open_store

KILLABLE = Path(__file__).parent / "killable.py"
ENDED = {"done", "reverted", "cancelled"}


@dataclass
class Killable(CopyFleet):
    """The fleet, and the process that forks executors."""

    process: subprocess.Popen[str]
    server: servers.PrivateServer

    def ask(self, **command: Any) -> Any:
        """Give the process a command and return its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert "failed" not in answer, answer["failed"]
        return answer

    def order(self, name: str, *words: Any) -> str:
        """Queue an operation; return its id."""
        return str(self.ask(do="call", name=name, args=words))

    def killed_at(self, moment: str) -> bool:
        """Execute until the moment; tell whether the executor was killed there."""
        return bool(self.ask(do="work", die=moment)["killed"])

    def work(self) -> None:
        """Execute until nothing waits."""
        assert not self.ask(do="work")["killed"]

    def look(self, operation: str) -> dict[str, Any]:
        """Return an operation's state and error, and what doctor finds."""
        return cast("dict[str, Any]", self.ask(do="look", operation=operation))

    def assert_ended(self, operation: str, *states: str) -> str:
        """Fail unless it ended in one of these states and doctor finds nothing."""
        seen = self.look(operation)
        assert seen["state"] in states, seen
        assert seen["doctor"] == [], seen
        assert list((self.fleet.home / "run").glob("operation-*")) == []
        return str(seen["state"])

    def killed_forwards(
        self,
        operation: str,
        kind: str,
        steps: tuple[str, ...],
        moments: tuple[str, ...] = ("before", "after"),
    ) -> None:
        """Kill the executors at the moments of each step, one executor each; then go on."""
        self.killed_on_the_way(operation, kind, steps, moments)
        self.work()

    def killed_on_the_way(
        self,
        operation: str,
        kind: str,
        steps: tuple[str, ...],
        moments: tuple[str, ...] = ("before", "after"),
    ) -> None:
        """Kill the executors at the moments of each step, one executor each; leave it there."""
        for step in steps:
            for moment in moments:
                self._kill_at(f"{kind}/{step}:{moment}", operation)

    def killed_backwards(
        self,
        operation: str,
        kind: str,
        steps: tuple[str, ...],
        moments: tuple[str, ...] = ("undo", "undone"),
    ) -> None:
        """Kill after the last of the steps, cancel, kill at the moments of each one's undo."""
        self._kill_at(f"{kind}/{steps[-1]}:after", operation)
        self.order("cancel", operation)
        for step in reversed(steps):
            for moment in moments:
                self._kill_at(f"{kind}/{step}:{moment}", operation)
        self.work()

    def _kill_at(self, moment: str, operation: str) -> None:
        assert self.killed_at(moment), (moment, self.look(operation))

    def waiting(self) -> list[str]:
        """Return the databases of the copies that wait."""
        rows = self._registry('SELECT "database" FROM registry_warmcopy WHERE state = ?', "ready")
        return [str(row[0]) for row in rows]

    def content(self, shortname: str) -> dict[str, str]:
        """Return checksums of a site's tables, but for those two in which Moodle counts how often
        its caches were purged, and of its files.
        """
        found = table_checksums(self.engine, self.database(shortname))
        del found["config"], found["course"]
        return found | files(self.dataroot(shortname))

    def database(self, shortname: str) -> SiteDatabase:
        """Return a site's database."""
        ((name, account, prefix),) = self._registry(
            'SELECT "database", account, table_prefix FROM registry_site WHERE shortname = ?',
            shortname,
        )
        return self._opened(name, account, prefix)

    def dataroot(self, shortname: str) -> Path:
        """Return a site's moodledata."""
        sql = "SELECT dataroot FROM registry_site WHERE shortname = ?"
        ((path,),) = self._registry(sql, shortname)
        return Path(path)

    def state(self, operation: str) -> str:
        """Return an operation's state."""
        sql = "SELECT state FROM registry_operation WHERE id = ?"
        ((state,),) = self._registry(sql, operation)
        return str(state)

    def _registry(self, sql: str, *values: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.fleet.home / "registry.sqlite3")) as connection:
            return connection.execute(sql, values).fetchall()

    def date_back(self, operation: str, member: str, seconds: float) -> None:
        """Let a time that an operation has kept in its result have been so long ago."""
        sql = "UPDATE registry_operation SET result = json_set(result, ?, ?) WHERE id = ?"
        with closing(sqlite3.connect(self.fleet.home / "registry.sqlite3")) as connection:
            connection.execute(sql, (f"$.{member}", time.time() - seconds, operation))
            connection.commit()

    def clone(self, shortname: str) -> str:
        """Make a site from the first one and return its shortname."""
        self.order("deploy", shortname, "site:first")
        self.work()
        return shortname

    def site_exists(self, shortname: str) -> bool:
        """Tell whether the fleet has the site."""
        return bool(self._registry("SELECT 1 FROM registry_site WHERE shortname = ?", shortname))

    def tombstone(self, address_key: str) -> bool:
        """Tell whether the registry has an address as a deleted site's."""
        sql = "SELECT 1 FROM registry_deletedaddress WHERE address_key = ?"
        return bool(self._registry(sql, address_key))

    def snapshots_stored(self) -> list[str]:
        """Return the ids of the snapshots in the store."""
        if not (self.fleet.home / "store").exists():
            return []
        return open_store(str(self.fleet.home.resolve() / "store")).manifest_ids()

    def map_state(self, host: str) -> str:
        """Return what the hook is told of a host, empty for nothing."""
        path = self.fleet.home / "map" / "web" / f"{host}.json"
        return str(json.loads(path.read_text()).get("state", "")) if path.exists() else ""


def files(dataroot: Path) -> dict[str, str]:
    """Return the hashes of a site's own files by their place."""
    return {
        str(path.relative_to(dataroot)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((dataroot / "filedir").rglob("*"))
        if path.is_file()
    }


@contextmanager
def copying(engine: str, *, keep_copy_hours: int = 0) -> Iterator[Killable]:
    """Run a fleet with the site `first` and the template `base` on a private server."""
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-copies-killed-"))
    directory.chmod(0o755)
    with getattr(servers, f"private_{engine}")(directory / "server") as server:
        fleet = Fleet(
            directory / "home", {"VMOODLE_UPGRADES__KEEP_COPY_HOURS": str(keep_copy_hours)}
        )
        fleet.run("server", "add", "main", server.url)
        fleet.run("codebase", "add", "sandbox", "sandbox")
        with subprocess.Popen(
            [sys.executable, str(KILLABLE)],
            env=fleet.env(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            made = Killable(fleet, open_engine(server.address), process, server)
            made.make("site", "create", "first", "--url", OLD, "--name", "First")
            fill(made)
            fleet.run("template", "create", "base", "--from", "first")
            yield made
            assert process.stdin is not None
            process.stdin.close()
    shutil.rmtree(directory, ignore_errors=True)


def fill(killable: Killable) -> None:
    """Put an address of its own, and some files, into the first site."""
    database = killable.database("first")
    with killable.engine.connect(database, read_only=False) as connection:
        connection.execute(
            "UPDATE {role} SET description = %s WHERE shortname = 'student'", (f"see {OLD}/x",)
        )
    root = killable.dataroot("first") / "filedir"
    for number in range(40):
        content = f"file {number}".encode() * 50
        name = hashlib.sha1(content).hexdigest()  # noqa: S324  as Moodle names them
        pool = root / name[:2] / name[2:4]
        pool.mkdir(parents=True, exist_ok=True)
        (pool / name).write_bytes(content)
