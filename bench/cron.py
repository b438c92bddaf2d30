"""A minute of 500 idle sites under the scheduler of cron, beside a loop of cron.php over them.

The minute is a real one: the real scheduler, the registry, and looks at 500 sites of one server, on
100 databases with Moodle's tables. Processor time is that of the scheduler with all its threads and
of the database server. The runs that it begins are counted and not carried out: what one costs is
measured on a real Moodle, as a loop of cron.php is, and both are multiplied. Idle: nobody was there
for two weeks, and every task that Moodle runs each minute is due. For the runs of the scheduler
those of each hour are due too.

Beside it, what the same minute takes where somebody was there lately: 500 quiet sites.

Words on the command line choose among `mariadb`, `postgresql`.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import psutil
from tests import servers
from tests.fixtures import load_fixture
from tests.moodle.running_site import RunningSite, running_site
from tests.trees import real_trees

from bench.copies import bench_directory
from bench.fleet_sites import FIXTURE, register
from vmoodle.engines.protocol import SiteDatabase, open_engine
from vmoodle.installation import Installation, open_installation
from vmoodle.moodle.php.account import owner_ids
from vmoodle.secret import generate_password

if TYPE_CHECKING:
    from tests.servers import PrivateServer

    from vmoodle.scheduler.cron.choice import Chosen

SITES = 500
DATABASES = 100
MINUTE = 60.0
STEP = 5.0
RUNS = 5
REACH = 10.0
_KEPT = (
    "config",
    "config_log",
    "config_plugins",
    "modules",
    "task_adhoc",
    "task_scheduled",
    "user",
)
EACH_MINUTE = "UPDATE {task_scheduled} SET nextruntime = 1 WHERE minute = '*' AND disabled = 0"
EACH_HOUR = "UPDATE {task_scheduled} SET nextruntime = 1 WHERE hour = '*' AND disabled = 0"


@dataclass
class Server:
    """A private server, and the processor time that it has taken."""

    private: PrivateServer

    def seconds(self) -> float:
        assert self.private.process is not None
        process = psutil.Process(self.private.process.pid)
        total = 0.0
        for one in [process, *process.children(recursive=True)]:
            try:
                times = one.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system + times.children_user + times.children_system
        return total


def make_databases(server: PrivateServer) -> list[SiteDatabase]:
    """Return databases with the tables that a look asks; nothing but the every-minute tasks due."""
    engine = open_engine(server.address)
    template = engine.anonymous_database("vm_template")
    engine.create_database(template)
    load_fixture(engine, template, FIXTURE)
    others = [n for n in engine.tables(template) if n.removeprefix(template.prefix) not in _KEPT]
    with engine.connect(template, read_only=False) as connection:
        connection.execute("DROP TABLE " + ", ".join(others))
        connection.execute("UPDATE {task_scheduled} SET nextruntime = 4000000000, lastruntime = 1")
        connection.execute("DELETE FROM {task_adhoc}")
        connection.execute(EACH_MINUTE)
    made = [SiteDatabase(f"vm_s{n}", f"vm_s{n}", generate_password()) for n in range(DATABASES)]
    for one in made:
        engine.create_account(one)
        engine.clone_database(template, one)
    return made


def a_minute(installation: Installation, server: Server, idle_days: int) -> tuple[float, int, int]:
    """Return the processor time of a minute, how many looks were made and runs begun."""
    from vmoodle.registry.cron_models import CronSite
    from vmoodle.scheduler.cron.due import Lookout
    from vmoodle.scheduler.cron.policy import policy
    from vmoodle.scheduler.cron.registry_fleet import RegistryFleet
    from vmoodle.scheduler.cron.scheduler import Scheduler

    begun: list[str] = []

    class Placeless(Lookout):
        def code(self, tree: Path) -> tuple[int, str]:  # noqa: ARG002 - theirs is nowhere
            return 405, ""

    class Counting(RegistryFleet):
        def begin(self, chosen: Chosen, now: float) -> bool:
            begun.append(chosen.site.shortname)
            CronSite.objects.filter(site_id=chosen.site.site_id).update(
                whole=now, started=now, ended=now, due=0
            )
            return True

    chosen = policy(installation.settings.cron)
    fleet = Counting(installation, chosen)
    fleet.lookout = Placeless(installation)
    scheduler = Scheduler(fleet, chosen, time.time)
    seen = time.time() - idle_days * 86400
    engine = open_engine(server.private.address)
    for number in range(DATABASES):
        with engine.connect(
            engine.anonymous_database(f"vm_s{number}"), read_only=False
        ) as connection:
            connection.execute("UPDATE {user} SET lastaccess = %s", (int(seen),))
    scheduler.step(everybody=True)
    now = time.time()
    CronSite.objects.update(whole=now, started=now, ended=now, looked=now, served=now)
    begun.clear()
    before = time.process_time() + server.seconds()
    until = time.monotonic() + MINUTE
    while time.monotonic() < until:
        scheduler.step()
        time.sleep(STEP)
    took = time.process_time() + server.seconds() - before
    looks = CronSite.objects.filter(looked__gt=now).count()
    return took, looks, len(begun)


def php(site: RunningSite, server: Server, due: str, compiled: Path | None) -> float:
    """Return the processor time of one run of cron.php, its database's included; a median."""
    settings = {} if compiled is None else {
        "opcache.enable_cli": "1", "opcache.file_cache": str(compiled),
        "opcache.file_cache_only": "1",
    }  # fmt: skip
    script = site.tree.script("admin/cli/cron.php")

    def once() -> float:
        with site.inside() as connection:
            connection.execute(due)
        argv, environment = site.php.command(
            [str(script), "--keep-alive=0", "--force"], settings=settings
        )
        before = children() + server.seconds()
        subprocess.run(
            argv, env=environment, cwd=script.parent, check=True, stdout=subprocess.DEVNULL
        )
        return children() + server.seconds() - before

    once()
    return median(once() for _ in range(RUNS))


def children() -> float:
    """Return the processor time of the children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def bench(flavour: str, directory: Path) -> None:
    """Measure on one engine."""
    trees = [path for path in real_trees() if path.name.startswith("4.5")]
    if not trees:
        print("  no real Moodle 4.5 (VMOODLE_MOODLE_TREES): nothing to measure a run on")
        return
    private: Callable[..., object] = getattr(servers, f"private_{flavour}")
    with private(directory / flavour) as started:  # type: ignore[attr-defined]
        server = Server(started)
        with running_site(trees[0], started.url) as site:
            compiled = directory / f"{flavour}-compiled"
            compiled.mkdir()
            os.chown(compiled, *owner_ids(site.php.account))
            plain = php(site, server, EACH_MINUTE, None)
            hourly = php(site, server, EACH_HOUR, compiled)
        installation = open_installation()
        register(installation, started, make_databases(started), under=flavour, count=SITES)
        print(
            f"  {flavour}: one cron.php, its every-minute tasks due: {plain:.2f} s of processor "
            f"time; by the scheduler, the hourly ones too: {hourly:.2f} s"
        )
        for word, days in (("idle", 30), ("quiet", 1)):
            took, looked, runs = a_minute(installation, server, days)
            whole, loop = took + runs * hourly, SITES * plain
            reach = f" (reach {REACH:.0f}, {'met' if whole <= REACH else 'NOT MET'})"
            print(
                f"  a minute of {SITES} {word} sites: {took:.1f} s for looks at {looked} of them, "
                f"{runs} runs x {hourly:.2f} s: {whole:.1f} s{reach if word == 'idle' else ''}; "
                f"a loop of cron.php, extrapolated: {loop:.0f} s; ratio {whole / loop:.3f}",
                flush=True,
            )


def main() -> None:
    """Measure on the engines that the command line names, or both: each with its own registry."""
    if len(sys.argv) != 2:
        for flavour in sys.argv[1:] or ["mariadb", "postgresql"]:
            subprocess.run([sys.executable, "-m", "bench.cron", flavour], check=True)
        return
    with bench_directory() as directory:
        directory.chmod(0o755)
        os.environ["VMOODLE_HOME"] = str(directory / "home")
        bench(sys.argv[1], directory)


if __name__ == "__main__":
    main()
