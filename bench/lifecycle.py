"""Deployments, clones of file pools and snapshots, each beside what would be done without VMoodle.

On a real Moodle where this machine has a tree (VMOODLE_MOODLE_TREES), else on the sandbox. A worker
executes, as in production. A deployment takes from its first step until the site is published, as
its own log has it; the whole call, with the request that proves the site, is shown beside it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from tests import servers

from bench.copies import (
    bench_directory,
    copy_pool,
    flush,
    make_pool,
    password_of,
    pipe_of,
    seconds,
    shell,
)
from bench.create import vmoodle, worker
from vmoodle.demo.trees import real_trees
from vmoodle.engines.address import ServerAddress
from vmoodle.engines.protocol import open_engine

RUNS = 3
AT_ONCE = 10


def row(what: str, took: float, baseline: str, base: float, reach: str) -> None:
    """Print one figure beside its baseline."""
    print(
        f"  {what:<34}{took:7.2f} s   {baseline:<26}{base:7.2f} s   ratio {took / base:6.3f}"
        f"   reach {reach}",
        flush=True,
    )


def size_of(directory: Path) -> int:
    """Return the bytes of all files below."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


class Bench:
    """One home on one server."""

    def __init__(self, place: Path, url: str) -> None:
        self.place, self.home, self.number = place, place / "home", 0
        vmoodle(self.home, "server", "add", "main", url)

    def create(self, *words: str) -> tuple[str, float]:
        """Create a site; return its shortname and the seconds of the call."""
        self.number += 1
        name = f"s{self.number}"
        return name, seconds(lambda: vmoodle(self.home, *self.words(name), *words))

    def deploy(self) -> tuple[float, float]:
        """Return the medians of some deployments: until published, and of the whole call."""
        published, calls = [], []
        for _ in range(RUNS):
            calls.append(self.create("--template", "base")[1])
            published.append(self.between("site.deploy", "reserve", "prove"))
        return statistics.median(published), statistics.median(calls)

    def between(self, kind: str, first: str, last: str) -> float:
        """Return the seconds between two steps of the newest operation of a kind."""
        operations = json.loads(vmoodle(self.home, "operation", "list", "--json"))
        newest = next(row for row in operations if row["kind"] == kind)
        events = json.loads(vmoodle(self.home, "operation", "show", newest["id"], "--json"))
        at = {e["step"]: datetime.fromisoformat(e["at"]) for e in reversed(events["events"])}
        return (at[last] - at[first]).total_seconds()

    def words(self, name: str) -> list[str]:
        """Return the words that create a site."""
        password = str(self.place / f"{name}.password")
        url = f"http://{name}.example.test"
        return ["site", "create", name, "--url", url, "--admin-password-out", password]

    def at_once(self, count: int) -> float:
        """Order several sites at the same time; return the seconds until all are proved."""
        names = [f"p{self.number + n}" for n in range(count)]
        self.number += count
        return float(
            subprocess.run(
                [sys.executable, "-m", "bench.order_at_once", *names],
                env=dict(os.environ) | {"VMOODLE_HOME": str(self.home)},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )

    def snapshots(self, shortname: str) -> None:
        """Print what a second snapshot takes beside the first, in time and in space."""
        took, sizes = [], [0]
        for _ in range(2):
            flush(self.home)  # what was written before is not this one's to wait for
            took.append(seconds(lambda: vmoodle(self.home, "snapshot", "create", shortname)))
            sizes.append(size_of(self.home / "store"))
        row("second snapshot, 2 GB unchanged", took[1], "first", took[0], "<= 0.3")
        added = (sizes[2] - sizes[1]) / (sizes[1] - sizes[0])
        print(f"    and takes {added:.4f} of the first one's space   reach <= 0.1", flush=True)

    def fill_pool(self, shortname: str) -> None:
        """Give a site the file pool of a site in use."""
        facts = json.loads(vmoodle(self.home, "site", "show", shortname, "--json"))
        make_pool(Path(facts["dataroot"]))


def dump_and_load(address: ServerAddress, database: str) -> float:
    """Return the seconds the engine's own tools take to dump the database and load it again."""
    engine, pipe = open_engine(address), pipe_of(address)
    target = replace(engine.anonymous_database(database), name="bench_copy")
    environment = os.environ | password_of(address)

    def work() -> None:
        engine.create_database(target)
        shell(pipe(database, target.name), environment)

    taken = []
    for _ in range(RUNS):
        taken.append(seconds(work))
        engine.drop_database(target)
    return statistics.median(taken)


def measure(engine: str, place: Path, tree: str) -> None:
    """Print the figures of one engine."""
    reach = {"mariadb": "<= 0.7", "postgresql": "<= 0.5"}[engine]
    with getattr(servers, f"private_{engine}")(place / "server") as server:
        bench = Bench(place, server.url)
        vmoodle(bench.home, "codebase", "add", "main", tree, "--copy")
        with worker(bench.home):
            first, _seconds = bench.create("--codebase", "main")
            installer = bench.between("site.create", "install", "publish")
            vmoodle(bench.home, "template", "create", "base", "--from", first)
            template = json.loads(vmoodle(bench.home, "template", "show", "base", "--json"))
            base = dump_and_load(server.address, template["database"])
            cold, call = bench.deploy()
            row(f"deploy cold (call {call:.2f} s)", cold, "dump and load", base, reach)
            vmoodle(bench.home, "template", "warm", "base", "--keep", str(RUNS + AT_ONCE))
            warm, call = bench.deploy()
            what = f"deploy warm (call {call:.2f} s)"
            row(what, warm, "Moodle's installer", installer, "<= 0.025, < 1 s")
            one = statistics.median(bench.at_once(1) for _ in range(RUNS))
            vmoodle(bench.home, "template", "warm", "base", "--keep", str(AT_ONCE))
            many = bench.at_once(AT_ONCE)
            row(f"{AT_ONCE} warm at once, proved", many, "one, proved", one, "<= 4")
            # Nothing is to be made beside what is measured next.
            vmoodle(bench.home, "template", "warm", "base", "--keep", "0")
            bench.fill_pool(first)
            bench.snapshots(first)


def main() -> None:
    """Print the figures."""
    trees = real_trees()
    tree = str(trees[0]) if trees else "sandbox"
    print(f"on {Path(tree).name}")
    for engine in ("mariadb", "postgresql"):
        if missing := getattr(servers, f"{engine}_missing")():
            print(f"{engine}: not measured, {missing}")
            continue
        print(engine)
        with tempfile.TemporaryDirectory(prefix="vmoodle-bench-") as directory:
            place = Path(directory)
            place.chmod(0o755)
            measure(engine, place, tree)
    with bench_directory() as place:
        for line in copy_pool(place):
            line.show()


if __name__ == "__main__":
    main()
