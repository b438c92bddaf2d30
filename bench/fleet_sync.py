"""A role synced to many sites beside Moodle's own API doing the same on all of the machine's cores.

Each of 50 sites has a database with the tables of a real Moodle 4.5 that this takes, and a dataroot
with its caches built. Before each sync the same cells of a role are made different on all of them.
Beside the runner, which works once the program has started, stands the whole call of
`vmoodle role sync`: with the trial, and the durable operation that carries it out. Moodle does it
by `role_sync.php`, a process for each site, as many at once as there are cores.

Words on the command line choose among `mariadb`, `postgresql`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tests import servers
from tests.moodle.running_site import RunningSite, running_site
from tests.trees import real_trees

from bench.copies import FIXTURES, bench_directory, seconds
from bench.fleet import ROLE, carried_out, environment, show
from bench.fleet_sites import KEPT, make_databases, register
from bench.measure import PROGRAM, run
from vmoodle.engines.protocol import Engine, SiteDatabase, open_engine
from vmoodle.fleet.bulk.confirmation import phrase
from vmoodle.installation import Installation, open_installation
from vmoodle.moodle.php.account import owner_ids
from vmoodle.moodle.roles.definitions import RoleDefinition, read_roles

if TYPE_CHECKING:
    from tests.servers import PrivateServer

SITES = 50
RUNS = 3
REACH = 1.2
# What Moodle itself asks besides, to start and to change a role.
_MOODLES_OWN = (
    "cache_flags", "course", "course_categories", "events_queue", "external_functions",
    "files", "filter_active", "lock_db", "logstore_standard_log", "role_assignments",
    "role_names", "sessions", "user_preferences",
)  # fmt: skip
_CONFIG = """<?php
unset($CFG);
global $CFG;
$CFG = new stdClass();
foreach (json_decode(file_get_contents(getenv('VMOODLE_BENCH_SITE')), true) as $name => $value) {
    $CFG->$name = $value;
}
require_once __DIR__ . '/lib/setup.php';
"""


class Sites:
    """So many sites of one real tree; the first is the one the others are made like."""

    def __init__(
        self, base: RunningSite, engine: Engine, databases: Sequence[SiteDatabase], place: Path
    ) -> None:
        self._base, self._engine, self._databases = base, engine, databases
        self._owner = owner_ids(base.php.account)
        self._place = place
        config = base.tree.root / "config.php"
        config.unlink()  # it may be a link to that of another tree
        config.write_text(_CONFIG, encoding="utf-8")
        for database in databases:
            self._make(database)
        self.wanted = self._role(databases[0])
        self._document = place / "role.json"
        self._document.write_text(json.dumps(_as_document(self.wanted)), encoding="utf-8")
        self._document.chmod(0o644)

    def dataroot(self, database: SiteDatabase) -> Path:
        """Return where a site has its files."""
        return self._place / database.name

    def _make(self, database: SiteDatabase) -> None:
        self.dataroot(database).mkdir(mode=0o700)
        os.chown(self.dataroot(database), *self._owner)
        config = self._place / f"{database.name}.json"
        values = {
            **self._engine.moodle_config(database), "wwwroot": "http://bench.example.test",
            "dataroot": str(self.dataroot(database)), "directorypermissions": 0o2770,
        }  # fmt: skip
        config.touch(0o600)
        os.chown(config, *self._owner)
        config.write_text(json.dumps(values), encoding="utf-8")

    def _role(self, database: SiteDatabase) -> RoleDefinition:
        with self._engine.connect(database) as connection:
            return read_roles(connection, [ROLE]).role(ROLE)

    def make_different(self) -> None:
        """Take the role ten permissions, turn ten, and give it ten, on each site but the first."""
        own = sorted(self.wanted.permissions)
        taken, turned = own[:10], own[10:20]
        for database in self._databases[1:]:
            with self._engine.connect(database, read_only=False) as connection:
                condition = (
                    "roleid = (SELECT id FROM {role} WHERE shortname = %s) AND contextid ="
                    " (SELECT id FROM {context} WHERE contextlevel = 10) AND capability IN ("
                    + ", ".join(["%s"] * 10) + ")"
                )  # fmt: skip
                connection.execute(
                    f"DELETE FROM {{role_capabilities}} WHERE {condition}",
                    (ROLE, *taken),
                )
                connection.execute(
                    f"UPDATE {{role_capabilities}} SET permission = -1 WHERE {condition}",
                    (ROLE, *turned),
                )
                connection.execute(
                    "INSERT INTO {role_capabilities}"
                    " (contextid, roleid, capability, permission, timemodified, modifierid)"
                    " SELECT x.id, r.id, c.name, 1, 0, 2 FROM {role} r, {context} x,"
                    " (SELECT name FROM {capabilities} WHERE name LIKE 'moodle/site:%%'"
                    " AND name NOT IN (SELECT rc.capability FROM {role_capabilities} rc, {role} o"
                    " WHERE o.id = rc.roleid AND o.shortname = %s) ORDER BY name LIMIT 10) c"
                    " WHERE r.shortname = %s AND x.contextlevel = 10",
                    (ROLE, ROLE),
                )

    def refuse_different(self) -> None:
        """Fail when a site has not the first one's role."""
        for database in self._databases:
            assert self._role(database) == self.wanted, database.name

    def sync_by_moodle(self) -> None:
        """Have Moodle's API make the role what it is to be on each site but the first."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(self._sync_by_moodle, self._databases[1:]))

    def _sync_by_moodle(self, database: SiteDatabase) -> None:
        script = Path(__file__).with_name("role_sync.php")
        words, environ = self._base.php.command([str(script), str(self._document)])
        environ |= {
            "VMOODLE_BENCH_ROOT": str(self._base.tree.root),
            "VMOODLE_BENCH_SITE": str(self._place / f"{database.name}.json"),
        }
        done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def _as_document(role: RoleDefinition) -> dict[str, object]:
    return {
        "shortname": role.shortname,
        "permissions": dict(role.permissions),
        "context_levels": sorted(role.context_levels),
        "allows": {str(allow): sorted(others) for allow, others in role.allows.items()},
    }


def _runner(installation: Installation) -> None:
    carried_out(installation, "role.sync", {"role": [ROLE], "source": "main-0"})


def measure(server: PrivateServer, tree: Path, place: Path) -> None:
    """Print the figures of one engine."""
    engine = open_engine(server.address)
    with running_site(tree, server.url) as base:
        databases = make_databases(engine, SITES + 1, kept=(*KEPT, *_MOODLES_OWN))
        sites = Sites(base, engine, databases, place)
        installation = open_installation()
        register(installation, server, databases, dataroots=[sites.dataroot(d) for d in databases])
        call = [
            str(PROGRAM), "role", "sync", ROLE, "--from", "main-0", "--on", "*", "--yes",
            "--confirm", phrase([f"main-{number}" for number in range(1, SITES + 1)]),
        ]  # fmt: skip
        acts: dict[str, Callable[[], object]] = {
            "Moodle": sites.sync_by_moodle,
            "runner": lambda: _runner(installation),
            "call": lambda: run(call, environment()),
        }
        took = dict.fromkeys(acts, float("inf"))
        for _ in range(RUNS):
            for name, act in acts.items():
                sites.make_different()
                took[name] = min(took[name], seconds(act))
                sites.refuse_different()
        baseline = f"Moodle's API, {os.cpu_count()} at once"
        for name, what in (("runner", "the runner"), ("call", "the whole call")):
            show(f"a role synced to {SITES}, {what}", took[name], baseline, took["Moodle"], REACH)


def main() -> None:
    """Print the figures; each engine in a process of its own, for it has a registry of its own."""
    chosen = sys.argv[1:] or ["mariadb", "postgresql"]
    if len(chosen) > 1:
        for word in chosen:
            subprocess.run([sys.executable, "-m", "bench.fleet_sync", word], check=True)
        return
    engine = chosen[0]
    trees = [path for path in real_trees() if path.name.startswith("4.5")]
    missing = getattr(servers, f"{engine}_missing")()
    if missing or not (trees and FIXTURES.is_dir()):
        print(f"{engine}: not measured, {missing or 'no real Moodle 4.5 or no fixtures'}")
        return
    print(f"{engine}, Moodle {trees[0].name}")
    with bench_directory() as place:
        place.chmod(0o755)
        os.environ["VMOODLE_HOME"] = str(place / "home")
        with getattr(servers, f"private_{engine}")(place / "server") as server:
            measure(server, trees[0], place)


if __name__ == "__main__":
    main()
