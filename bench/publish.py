"""Publishing one site into a map of 10,000, and making the whole map, beside bare file writes.

Limits: one publication 20 ms; the whole map 10 s.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench.fleet_map import site, sites
from vmoodle.hook.entry import PublishedSite
from vmoodle.hook.map import HostMap

SITES = 10_000
RUNS = 50


def milliseconds(act: Callable[[], object]) -> float:
    """Return how long an act takes."""
    start = time.perf_counter()
    act()
    return (time.perf_counter() - start) * 1000


def write_bare(path: Path, content: bytes, *, sync: bool) -> None:
    """Write a file beside its place and rename it."""
    beside = path.with_suffix(".part")
    with beside.open("wb") as file:
        file.write(content)
        if sync:
            file.flush()
            os.fsync(file.fileno())
    beside.rename(path)


def write_all_bare(directory: Path, content: bytes) -> None:
    """Write as many files as there are sites."""
    for number in range(SITES):
        write_bare(directory / f"{number}.json", content, sync=False)
    os.sync()


def show(what: str, ours: float, bare: float, limit: float) -> None:
    """Print one figure beside its baseline and its limit, in milliseconds."""
    print(
        f"{what:<44}{ours:10.2f} ms   bare {bare:9.2f} ms   ratio {ours / bare:5.1f}"
        f"   limit {limit:6.0f} ms"
    )


def changed(number: int, run: int) -> PublishedSite:
    """Return a site with a setting that differs in each run."""
    return replace(site(number), forced_cfg={"debug": run})


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory(prefix="vmoodle-bench-") as name:
        host_map = HostMap(Path(name) / "map")
        bare = Path(name) / "bare"
        bare.mkdir()
        whole = milliseconds(lambda: host_map.publish_all(sites(SITES)))
        content = (Path(name) / "map" / "web" / "school7.example.org.json").read_bytes()
        show(
            f"the whole map of {SITES}, from nothing",
            whole,
            milliseconds(lambda: write_all_bare(bare, content)),
            10_000,
        )
        every = [replace(each, state="suspended") for each in sites(SITES)]
        show(
            f"the whole map of {SITES}, every file changed",
            milliseconds(lambda: host_map.publish_all(every)),
            milliseconds(lambda: write_all_bare(bare, content)),
            10_000,
        )
        ours, baseline = [], []
        for run in range(RUNS):
            one = changed(run * 7, run)
            ours.append(milliseconds(lambda one=one: host_map.publish(one)))  # type: ignore[misc]
            path = bare / f"{run * 7}.json"
            baseline.append(
                milliseconds(lambda path=path: write_bare(path, content, sync=True))  # type: ignore[misc]
            )
        show(
            f"one site, {SITES} in the map (median of {RUNS})",
            statistics.median(ours),
            statistics.median(baseline),
            20,
        )


if __name__ == "__main__":
    main()
