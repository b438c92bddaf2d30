"""`vmoodle --help`, and `vmoodle site list` with 10,000 sites, beside a bare Python.

Limits: --help 0.3 s; site list 1 s and 150 MB.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from bench.measure import PROGRAM, Cost, median, run

SITES = 10_000
RUNS = 7


def fill(count: int) -> None:
    """Put sites into the registry of this process's home."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.registry.models import Codebase, DatabaseServer, Site

    codebase = Codebase.objects.create(
        name="main", path="/srv/moodle", layout="classic", version="1", release="4.5", branch="405"
    )
    server = DatabaseServer.objects.create(
        name="main", engine="postgresql", address="db", flavour="postgresql", version="15"
    )
    Site.objects.bulk_create(
        Site(
            shortname=f"school{n}",
            name=f"School number {n}",
            wwwroot=f"https://school{n}.example.org",
            address_key=f"school{n}.example.org",
            codebase=codebase,
            server=server,
            database=f"vm_school{n}",
            account=f"vm_school{n}",
            password_encrypted="",
            table_prefix="mdl_",
            dataroot=f"/var/moodledata/school{n}",
            session_key=f"{n:08x}",
            state="enabled",
            admin_user="admin",
            admin_email="admin@example.com",
        )
        for n in range(count)
    )


def show(what: str, cost: Cost, baseline: Cost) -> None:
    """Print one figure beside its baseline."""
    print(
        f"{what:<34}{cost.seconds * 1000:8.0f} ms {cost.megabytes:7.0f} MB   "
        f"bare Python {baseline.seconds * 1000:5.0f} ms   "
        f"ratio {cost.seconds / baseline.seconds:5.1f}"
    )


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory(prefix="vmoodle-bench-") as directory:
        os.environ["VMOODLE_HOME"] = str(Path(directory) / "home")
        fill(SITES)
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        program = str(PROGRAM)
        python = median(lambda: run([sys.executable, "-c", "pass"], environment), RUNS)
        show("vmoodle --help", median(lambda: run([program, "--help"], environment), RUNS), python)
        listing = [program, "site", "list"]
        show(
            f"vmoodle site list ({SITES} sites)",
            median(lambda: run(listing, environment), RUNS),
            python,
        )
        show(
            f"vmoodle site list --json ({SITES})",
            median(lambda: run([*listing, "--json"], environment), RUNS),
            python,
        )


if __name__ == "__main__":
    main()
