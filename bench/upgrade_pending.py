"""Which of 500 sites have an upgrade pending, beside asking Moodle on each.

A tree's allversionshash from its files. Then the whole call of `vmoodle upgrade pending` over 500
databases of one server, and the runner alone, beside `--is-pending` on each in turn, which is
measured on one real site and multiplied. Each figure is the best of several runs; of the call the
seconds of processor are told too, which other work on the machine does not lengthen as much. Words
on the command line choose among `hash`, `mariadb`, `postgresql`.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests import servers
from tests.trees import real_trees

from bench.copies import FIXTURES, bench_directory, seconds
from bench.fleet import best, carried_out, environment, show
from bench.fleet_sites import make_databases, register
from bench.measure import PROGRAM, run
from vmoodle.engines.protocol import open_engine
from vmoodle.installation import open_installation
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.code.versions import all_versions_hash

if TYPE_CHECKING:
    from tests.servers import PrivateServer

SITES = 500
LIMIT = 5.0
HASH_LIMIT = 0.2
TIMES_FASTER = 50
RUNS = 3


def is_pending(server: PrivateServer, tree: Path) -> float:
    """Return the seconds Moodle's own script takes to say whether one site is pending."""
    from tests.moodle.running_site import running_site

    with running_site(tree, server.url) as site:
        script = str(site.tree.root / "admin" / "cli" / "upgrade.php")
        words, environ = site.php.command([script, "--is-pending"])
        return best(
            lambda: seconds(
                lambda: subprocess.run(words, env=environ, check=False, capture_output=True)
            ),
            RUNS,
        )


def processor(call: list[str], environ: dict[str, str]) -> float:
    """Return the seconds of processor that a call takes, the database server's not counted."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(call, environ)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def hashes() -> None:
    """Print what the hash of each real tree takes."""
    for path in real_trees():
        tree = MoodleTree.open(path)
        took = best(lambda tree=tree: seconds(lambda: all_versions_hash(tree)))  # type: ignore[misc]
        show(f"allversionshash of {path.name}", took, "limit", HASH_LIMIT, 1)


def measure(engine: str, tree: Path, place: Path) -> None:
    """Print the figures of one engine."""
    with getattr(servers, f"private_{engine}")(place / "server") as server:
        databases = make_databases(open_engine(server.address), SITES)
        installation = open_installation()
        register(installation, server, databases)
        from vmoodle.registry.models import Codebase

        Codebase.objects.update(path=str(tree))
        environ = environment()
        call = [str(PROGRAM), "upgrade", "pending", "--on", "*"]
        run(call, environ)
        whole = best(lambda: run(call, environ).seconds, RUNS)
        alone = best(
            lambda: seconds(
                lambda: carried_out(installation, "upgrade.pending", {"to": "", "every": False})
            ),
            RUNS,
        )
        show(f"{SITES} sites, the runner", alone, "limit", LIMIT, 1)
        show(f"{SITES} sites, the whole call", whole, "limit", LIMIT, 1)
        print(f"  of it seconds of processor, ours {processor(call, environ):.2f}")
        each = is_pending(server, tree)
        times = each * SITES / whole
        words = "met" if times >= TIMES_FASTER else "NOT MET"
        print(
            f"  {SITES} x --is-pending takes {each * SITES:.0f} s ({each:.2f} s measured on one "
            f"site), {times:.0f} times the call (reach {TIMES_FASTER}, {words})"
        )


def main() -> None:
    """Print the figures; each engine in a process of its own, for it has a registry of its own."""
    trees = [path for path in real_trees() if path.name.startswith("4.5.5")]
    if not trees:
        print("not measured: no real Moodle 4.5.5 (VMOODLE_MOODLE_TREES)")
        return
    chosen = sys.argv[1:] or ["hash", "mariadb", "postgresql"]
    if len(chosen) > 1:
        for word in chosen:
            subprocess.run([sys.executable, "-m", "bench.upgrade_pending", word], check=True)
        return
    print(chosen[0])
    if chosen[0] == "hash":
        hashes()
        return
    missing = getattr(servers, f"{chosen[0]}_missing")()
    if missing or not FIXTURES.is_dir():
        print(f"  not measured, {missing or f'no fixtures at {FIXTURES}'}")
        return
    with bench_directory() as place:
        os.environ["VMOODLE_HOME"] = str(place / "home")
        measure(chosen[0], trees[0], place)


if __name__ == "__main__":
    main()
