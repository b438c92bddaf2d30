"""`vmoodle site create` beside Moodle's own installer: what VMoodle adds. Limit: 1.5 s.

For the sandbox, and for each real tree this machine has (VMOODLE_MOODLE_TREES). The installer alone
is the one `site create` ran, timed by the operation's own log; the rest of the wall-clock time of
the whole `vmoodle` call is VMoodle's share. The request that proves the site is shown apart: it is
mostly Moodle building its caches for the first time.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from bench.measure import PROGRAM

RUNS = 3


def vmoodle(home: Path, *words: str) -> str:
    """Run `vmoodle` on the home; return what it prints."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(
        [str(PROGRAM), *words],
        env=environment | {"VMOODLE_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def measure(home: Path, codebase: str, number: int) -> tuple[float, float, float]:
    """Create a site; return the seconds of the call, of the installer and of the proof."""
    shortname = f"{codebase}{number}"
    password = home / "password"
    start = time.perf_counter()
    vmoodle(
        home, "site", "create", shortname, "--url", f"http://{shortname}.example.test",
        "--codebase", codebase, "--admin-password-out", str(password),
    )  # fmt: skip
    total = time.perf_counter() - start
    password.unlink()
    operation = json.loads(vmoodle(home, "operation", "list", "--limit", "1", "--json"))[0]["id"]
    events = json.loads(vmoodle(home, "operation", "show", operation, "--json"))["events"]
    at = {event["step"]: datetime.fromisoformat(event["at"]) for event in reversed(events)}
    installer = (at["publish"] - at["install"]).total_seconds()
    proof = (at["finish"] - at["prove"]).total_seconds()
    return total, installer, proof


@contextmanager
def worker(home: Path) -> Iterator[None]:
    """Run `vmoodle worker` beside, as a service would."""
    process = subprocess.Popen(
        [str(PROGRAM), "worker"], env=os.environ | {"VMOODLE_HOME": str(home)}
    )
    lock = home / "run" / "executor.lock"
    while not lock.exists() or lock.read_text().strip() != str(process.pid):
        time.sleep(0.05)
    time.sleep(1)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def show(what: str, runs: list[tuple[float, float, float]]) -> None:
    """Print one line of figures."""
    total, installer, proof = (statistics.median(run[i] for run in runs) for i in range(3))
    print(
        f"{what:<24} site create {total:6.2f} s   installer {installer:6.2f} s   "
        f"VMoodle's share {total - installer:5.2f} s (limit 1.50), "
        f"of it the proof {proof:4.2f} s   ratio {total / installer:4.2f}"
    )


def main() -> None:
    """Print the figures."""
    from vmoodle.demo.trees import real_trees

    with tempfile.TemporaryDirectory(prefix="vmoodle-bench-") as directory:
        Path(directory).chmod(0o755)
        home = Path(directory) / "home"
        vmoodle(home, "server", "add", "main", "embedded")
        trees = {"sandbox": "sandbox"} | {
            f"m{path.name.replace('.', '')}": str(path) for path in real_trees()
        }
        try:
            for name, path in trees.items():
                vmoodle(home, "codebase", "add", name, path, "--copy")
                show(f"{name}, alone", [measure(home, name, n) for n in range(RUNS)])
                with worker(home):
                    runs = [measure(home, name, n) for n in range(RUNS, 2 * RUNS)]
                show(f"{name}, with a worker", runs)
        finally:
            vmoodle(home, "stop")


if __name__ == "__main__":
    main()
