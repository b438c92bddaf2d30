"""Sites upgraded by `vmoodle upgrade run`, beside a loop of Moodle's own upgrade over as many.

Real sites of 4.5.5 go to the newest real tree. The loop takes one site after the other and makes no
safety copy; both have the new code published in the same way. A word on the command line is an
engine, a number how many sites each of the two ways gets (20).
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import subprocess
import sys
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path

from tests import servers
from tests.fleet import Fleet
from tests.trees import real_trees

from bench.copies import bench_directory
from vmoodle.installation import open_installation

SITES = 20
SHARE = 0.6
MORE_SECONDS = 3.0


def make(fleet: Fleet, url: str, trees: dict[str, Path], count: int) -> list[str]:
    """Make so many sites of the old code, all alike; return their names."""
    fleet.run("server", "add", "main", url)
    for name, path in trees.items():
        fleet.run("codebase", "add", name, str(path), "--copy")
    names = [f"s{number:02}" for number in range(count)]
    for number, name in enumerate(names):
        how = ["clone", names[0]] if number else ["create"]
        more = [] if number else ["--codebase", "old"]
        fleet.run(
            "site", *how, name, "--url", f"http://{name}.example.test", *more,
            "--admin-password-file", "-", stdin="Own-Passw0rd!\n",
        )  # fmt: skip
    return names


def loop(names: list[str]) -> list[float]:
    """Upgrade sites one after the other by Moodle's own script; return the seconds of each."""
    installation = open_installation()
    from vmoodle.lifecycle.publish import publish
    from vmoodle.moodle.code.tree import MoodleTree
    from vmoodle.moodle.scripts.upgrade import upgrade_site
    from vmoodle.registry import codebases, sites

    new, took = codebases.find("new"), []
    for name in names:
        began = time.perf_counter()
        site = sites.find(name)
        sites.on_codebase(site, new)
        publish(installation, site)
        upgrade_site(MoodleTree.open(Path(new.path)), installation.php, site=name, timeout=3600)
        took.append(time.perf_counter() - began)
    return took


def steps(home: Path) -> dict[str, float]:
    """Return the median seconds of each step of the upgrades, by the lines of their logs."""
    took: dict[str, list[float]] = {}
    with closing(sqlite3.connect(home / "registry.sqlite3")) as registry:
        rows = registry.execute(
            "SELECT operation_id, e.step, MIN(e.at), finished_at FROM registry_operationevent e"
            " JOIN registry_operation o ON o.id = operation_id"
            " WHERE kind = 'site.upgrade' AND e.step <> '' AND finished_at IS NOT NULL"
            " GROUP BY operation_id, e.step"
            " ORDER BY operation_id, MIN(e.id)"
        ).fetchall()
    for (operation, step, begun, finished), following in zip(rows, [*rows[1:], None], strict=True):
        goes_on = following is not None and following[0] == operation
        ended = following[2] if goes_on and following is not None else finished
        seconds = (datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).total_seconds()
        took.setdefault(step, []).append(seconds)
    return {step: statistics.median(values) for step, values in took.items()}


def measure(engine: str, trees: dict[str, Path], place: Path, count: int) -> None:
    """Print the figures of one engine."""
    fleet = Fleet(place / "home")
    with getattr(servers, f"private_{engine}")(place / "server") as server:
        names = make(fleet, server.url, trees, 2 * count)
        alone = loop(names[:count])
        ours = names[count:]
        began = time.perf_counter()
        ended = fleet.json(
            "upgrade", "run", "--to", "new", "--on", ",".join(ours), "--confirm", ",".join(ours),
            "--accept", "plugin.missing", "--waves", "1", "--in-parallel", str(os.cpu_count() or 1),
        )  # fmt: skip
        whole = time.perf_counter() - began
        tell_steps(place / "home")
    share = whole / sum(alone)
    words = "met" if share <= SHARE else "NOT MET"
    print(
        f"  {count} sites: {whole:.1f} s, the loop {sum(alone):.1f} s: {share:.2f} of it "
        f"(limit {SHARE}, {words})"
    )
    more = max((one["downtime_ms"] - one["upgrade_ms"]) / 1000 for one in ended["sites"])
    words = "met" if more <= MORE_SECONDS else "NOT MET"
    closed = max(one["downtime_ms"] for one in ended["sites"]) / 1000
    print(
        f"  closed for at most {closed:.1f} s, and {more:.1f} s longer than Moodle's own upgrade "
        f"took (limit {MORE_SECONDS}, {words})"
    )


def tell_steps(home: Path) -> None:
    """Print where the time of an upgrade goes."""
    told = ", ".join(f"{step} {seconds:.2f}" for step, seconds in steps(home).items())
    print(f"  median seconds of each step: {told}")


def main() -> None:
    """Print the figures; each engine in a process of its own, for it has a registry of its own."""
    found = sorted(real_trees(), key=lambda path: path.name)
    if len(found) < 2 or not found[0].name.startswith("4.5.5"):
        print("not measured: no real Moodle 4.5.5 and a later one (VMOODLE_MOODLE_TREES)")
        return
    count = next((int(word) for word in sys.argv[1:] if word.isdecimal()), SITES)
    chosen = [word for word in sys.argv[1:] if not word.isdecimal()] or ["mariadb", "postgresql"]
    if len(chosen) > 1:
        for word in chosen:
            argv = [sys.executable, "-m", "bench.upgrade", word, str(count)]
            subprocess.run(argv, check=True)
        return
    print(chosen[0])
    missing = getattr(servers, f"{chosen[0]}_missing")()
    if missing:
        print(f"  not measured, {missing}")
        return
    with bench_directory() as place:
        os.environ["VMOODLE_HOME"] = str(place / "home")
        measure(chosen[0], {"old": found[0], "new": found[-1]}, place, count)


if __name__ == "__main__":
    main()
