"""Commands on many sites, each beside what would be done without VMoodle.

A one-row SELECT over 200 databases of one server: the whole call of `vmoodle sql`, and the runner
alone, in a process that is there already, beside connecting to each from C (`connecting.py`), and
beside Moodle's own `cfg.php` on each in turn, which is measured on one real site and multiplied.
A role compared over the 200 until the matrix is finished. And 10,000 sites, 50 on each database,
in the registry: memory, the first word on a terminal, and the whole answer as JSON.

Each figure is the best of several runs: what else the machine does only ever adds. Words on the
command line choose among `mariadb`, `postgresql`, `many`.
"""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests import servers

from bench.connecting import floor
from bench.copies import FIXTURES, bench_directory, seconds
from bench.fleet_sites import make_databases, register
from bench.measure import PROGRAM, Cost, run
from vmoodle.engines.protocol import open_engine
from vmoodle.installation import Installation, open_installation

if TYPE_CHECKING:
    from tests.servers import PrivateServer

    from vmoodle.fleet.command import AnyCommand
    from vmoodle.registry.fleet_models import Run

SITES = 200
MANY = 10_000
RUNS = 7
SQL = "SELECT value FROM {config} WHERE name = 'theme'"
REACH = {"mariadb": 2.0, "postgresql": 1.5}
TIMES_FASTER = 50
ROLE = "editingteacher"


def best(act: Callable[[], float], runs: int = RUNS) -> float:
    """Return the least of several measurements."""
    return min(act() for _ in range(runs))


def show(what: str, took: float, baseline: str, base: float, reach: float | None) -> None:
    """Print one figure beside its baseline."""
    ratio = took / base
    words = ""
    if reach is not None:
        words = f" (reach {reach:.1f}, {'met' if ratio <= reach else 'NOT MET'})"
    print(
        f"  {what:<44}{took * 1000:8.0f} ms   {baseline:<34}{base * 1000:8.0f} ms   "
        f"ratio {ratio:5.2f}{words}",
        flush=True,
    )


def environment() -> dict[str, str]:
    """Return the environment of a call, in which Python keeps what it has compiled."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


@cache
def command_named(name: str) -> type[AnyCommand]:
    """Return a command, as a process that is there already has it at hand."""
    from vmoodle.fleet.command_sets import load

    return load().find(name)


def carried_out(installation: Installation, name: str, values: dict[str, object]) -> Run:
    """Carry a command out on all sites by the runner, and return its run with every answer."""
    from vmoodle.fleet.parameters import given
    from vmoodle.fleet.runs.order import prepare, write_down
    from vmoodle.fleet.runs.runner import run_here
    from vmoodle.fleet.runs.view import all_well

    command = command_named(name)
    order = prepare(installation, command, given(command.model, values), "*")
    run = run_here(installation, write_down(installation, order), command)
    assert all_well(run)
    return run


def ask(installation: Installation) -> None:
    """Ask all sites by the runner, as `vmoodle sql` does, and keep what each answered."""
    carried_out(installation, "sql.read", {"sql": SQL})


def compare(installation: Installation) -> None:
    """Compare a role over all sites: permissions, levels and facts, to the finished matrix."""
    from vmoodle.fleet.runs.view import answers, matrix

    run = carried_out(installation, "role.compare", {"role": ROLE})
    rows = matrix(run)
    assert rows is not None
    assert len(rows) > 500
    assert len(list(answers(run))) == SITES


def cfg_php(server: PrivateServer) -> float | None:
    """Return the seconds Moodle's own script takes to tell one setting of one site."""
    from tests.moodle.running_site import running_site
    from tests.trees import real_trees

    trees = [path for path in real_trees() if path.name.startswith("4.5")]
    if not trees:
        return None
    with running_site(trees[0], server.url) as site:
        script = f"{site.tree.root}/admin/cli/cfg.php"
        words, environ = site.php.command([script, "--name=theme"])
        return best(
            lambda: seconds(
                lambda: subprocess.run(words, env=environ, check=True, capture_output=True)
            )
        )


def measure(engine: str, place: Path) -> None:
    """Print the figures of one engine."""
    with getattr(servers, f"private_{engine}")(place / "server") as server:
        databases = make_databases(open_engine(server.address), SITES)
        installation = open_installation()
        register(installation, server, databases)
        sql = SQL.replace("{config}", f"{databases[0].prefix}config")
        name, from_c = floor(server.address, databases, sql, place)
        environ = environment()
        call = [str(PROGRAM), "sql", SQL, "--on", "*"]
        ask(installation)
        took = dict.fromkeys(("one", "two", "runner", "call"), float("inf"))
        acts: dict[str, Callable[[], float]] = {
            "one": lambda: from_c(1),
            "two": lambda: from_c(2),
            "runner": lambda: seconds(lambda: ask(installation)),
            "call": lambda: run(call, environ).seconds,
        }
        for _ in range(RUNS):
            for key, act in acts.items():
                took[key] = min(took[key], act())
        what = f"{SITES} sites asked"
        for words, count in (("one client", "one"), ("two clients", "two")):
            baseline = f"{name}, {words}"
            show(f"{what}, the runner", took["runner"], baseline, took[count], REACH[engine])
        show(f"{what}, the whole call", took["call"], f"{name}, one client", took["one"],
             REACH[engine])  # fmt: skip
        if (script := cfg_php(server)) is None:
            print("  cfg.php: not measured, no real Moodle 4.5 (VMOODLE_MOODLE_TREES)")
        else:
            times = script * SITES / took["call"]
            words = "met" if times >= TIMES_FASTER else "NOT MET"
            print(
                f"  {SITES} x cfg.php takes {script * SITES:.1f} s, {times:.0f} times the call "
                f"(reach {TIMES_FASTER}, {words})"
            )
        matrix = best(lambda: seconds(lambda: compare(installation)), 3)
        show("a role compared, to the matrix", matrix, "limit", 3, 1)


def first_word(command: list[str], environ: dict[str, str]) -> float:
    """Return the seconds until a call says its first word on a terminal; then end it."""
    ours, its = pty.openpty()
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env=environ | {"TERM": "xterm"}, stdin=its, stdout=subprocess.DEVNULL, stderr=its
    )
    os.close(its)
    with suppress(OSError):
        select.select([ours], [], [], 60)
        os.read(ours, 100)
    taken = time.perf_counter() - start
    process.terminate()
    process.wait()
    os.close(ours)
    return taken


def many(engine: str, place: Path) -> None:
    """Print what a run over 10,000 sites takes."""
    with getattr(servers, f"private_{engine}")(place / "server") as server:
        databases = make_databases(open_engine(server.address), SITES)
        register(open_installation(), server, databases, count=MANY)
        environ = environment()
        call = [str(PROGRAM), "sql", SQL, "--on", "*"]
        rows: list[tuple[str, Cost]] = [
            ("sql", run(call, environ)), ("sql --json", run([*call, "--json"], environ)),
        ]  # fmt: skip
        rows.append(("run list", run([str(PROGRAM), "run", "list"], environ)))
        newest = ["run", "show", _newest()]
        rows.append(("run show", run([str(PROGRAM), *newest], environ)))
        rows.append(("run show --json", run([str(PROGRAM), *newest, "--json"], environ)))
        for what, cost in rows:
            words = "met" if cost.megabytes <= 300 else "NOT MET"
            print(
                f"  {what:<20}{cost.seconds:8.2f} s   {cost.megabytes:6.0f} MB (reach 300, {words})"
            )
        print(f"  first word on a terminal {best(lambda: first_word(call, environ), 3):5.2f} s")


def _newest() -> str:
    from vmoodle.registry.fleet_models import Run

    return Run.objects.latest("created_at").id


def main() -> None:
    """Print the figures; each engine in a process of its own, for it has a registry of its own."""
    chosen = sys.argv[1:] or ["mariadb", "postgresql", "many"]
    if len(chosen) > 1:
        for word in chosen:
            subprocess.run([sys.executable, "-m", "bench.fleet", word], check=True)
        return
    engine = "mariadb" if chosen[0] == "many" else chosen[0]
    missing = getattr(servers, f"{engine}_missing")()
    if missing or not FIXTURES.is_dir():
        print(f"{chosen[0]}: not measured, {missing or f'no fixtures at {FIXTURES}'}")
        return
    print(chosen[0] if chosen[0] == engine else f"{MANY} sites")
    with bench_directory() as place:
        os.environ["VMOODLE_HOME"] = str(place / "home")
        (many if chosen[0] == "many" else measure)(engine, place)


if __name__ == "__main__":
    main()
