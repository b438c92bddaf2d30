"""Copies of sites' parts beside what an administrator would use. One row per function.

Databases: a real fresh Moodle (shared/fixtures, VMOODLE_FIXTURES) on private servers that bring
every commit to the disk. Files: 20,000 in a pool of 2 GB. Baseline and copy take turns, so that
what else the machine does meets both; each row shows the medians (files: the best) and their ratio.

VMOODLE_BENCH_DIR says on which disk (default: the temporary directory).
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import servers
from tests.checksums import checksum

from vmoodle.engines import clients
from vmoodle.engines.address import ServerAddress
from vmoodle.engines.embedded import EmbeddedPostgreSQL
from vmoodle.engines.protocol import Engine, SiteDatabase, open_engine
from vmoodle.moodle.files.filedir import copy_filedir
from vmoodle.secret import generate_password

FIXTURES = Path(
    os.environ.get("VMOODLE_FIXTURES") or Path(__file__).parents[2] / "shared" / "fixtures"
)
RUNS = 5
POOL_FILES, POOL_FILE_SIZE = 20_000, 100_000


@dataclass(frozen=True)
class Row:
    """One line of the table: medians in seconds, and the ratio that is to be reached."""

    what: str
    baseline: str
    theirs: float
    ours: float
    reach: float

    def show(self) -> None:
        """Print the line."""
        ratio = self.ours / self.theirs
        verdict = "met" if ratio <= self.reach else "NOT MET"
        print(
            f"{self.what:<44} {self.ours:6.2f} s   {self.baseline:<28} {self.theirs:6.2f} s   "
            f"ratio {ratio:4.2f} (reach {self.reach:.2f}, {verdict})",
            flush=True,
        )


def seconds(act: Callable[[], object]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def in_turns(
    theirs: Callable[[], object], ours: Callable[[], object], clear: Callable[[], object]
) -> tuple[float, float]:
    """Return the medians of both, each after a clearing that is not counted."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(RUNS):
        for act, measured in zip((theirs, ours), times, strict=True):
            clear()
            measured.append(seconds(act))
    return statistics.median(times[0]), statistics.median(times[1])


# ---- databases


def shell(command: str, environment: dict[str, str], stdin: bytes = b"") -> None:
    """Run what an administrator would type; raise CalledProcessError when it fails."""
    subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        input=stdin,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def pipe_of(address: ServerAddress) -> Callable[[str, str], str]:
    """Return what dumps one database of a server and loads it into another, as words of a shell."""
    if address.engine == "mariadb":
        login = _mariadb_login(address)
        return lambda one, two: (
            f"mariadb-dump {login} --single-transaction {one} | mariadb {login} {two}"
        )
    major = int(open_engine(address).facts().version.partition(".")[0])
    dump = f"{clients.postgresql_programs(major)}/pg_dump {_postgresql_login(address)}"
    return lambda one, two: f"{dump} {one} | {_psql(address)} {two}"


def password_of(address: ServerAddress) -> dict[str, str]:
    """Return the environment in which those words know the password."""
    name = "MYSQL_PWD" if address.engine == "mariadb" else "PGPASSWORD"
    return {name: address.password.reveal()}


def _mariadb_login(address: ServerAddress) -> str:
    return f"--protocol=tcp -h{address.host} -P{address.port} -u{address.user}"


def _postgresql_login(address: ServerAddress) -> str:
    return f"-h {address.socket or address.host} -p {address.effective_port} -U {address.user}"


def _psql(address: ServerAddress) -> str:
    return f"psql -qX -v ON_ERROR_STOP=1 {_postgresql_login(address)}"


def copies_database(
    engine: Engine,
    what: str,
    baseline: str,
    reach: float,
    pipe: Callable[[str, str], str],
    load: str,
    secret: dict[str, str],
    fixture: str,
) -> list[Row]:
    """Compare a clone of a frozen template with dumping and loading it."""
    environment = os.environ | secret
    template = engine.anonymous_database("vm_template")
    target = SiteDatabase("vm_copy", "vm_copy", generate_password())
    other = SiteDatabase("vm_copy", "vm_copy", target.password, "x9_")
    engine.create_account(target)
    engine.create_database(template)
    dump = gzip.decompress((FIXTURES / fixture).read_bytes())
    shell(load.format(template.name), environment, dump)

    def theirs() -> None:
        engine.create_database(target)
        shell(pipe(template.name, target.name), environment)

    def clear() -> None:
        engine.drop_database(target, if_exists=True)

    rows = []
    for words, wanted in (("", target), (", another prefix", other)):
        medians = in_turns(theirs, lambda to=wanted: engine.clone_database(template, to), clear)
        rows.append(Row(f"{what}{words}", baseline, *medians, reach))
        assert checksum(engine, wanted) == checksum(engine, template)
    return rows


def copy_mariadb(directory: Path) -> list[Row]:
    """A clone on MariaDB beside `mariadb-dump | mariadb`."""
    if reason := servers.mariadb_missing():
        print(f"copy MariaDB: {reason}")
        return []
    options = ("--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=256M")
    with servers.private_mariadb(directory / "mariadb", *options) as server:
        address = server.address
        return copies_database(
            open_engine(address),
            "copy MariaDB (494 tables)",
            "mariadb-dump | mariadb",
            0.55,
            pipe_of(address),
            f"mariadb {_mariadb_login(address)} {{}}",
            password_of(address),
            "moodle-4.5.5-mariadb.sql.gz",
        )


def _copy_postgresql(engine: Engine, what: str) -> list[Row]:
    return copies_database(
        engine,
        what,
        "pg_dump | psql",
        0.5,
        pipe_of(engine.address),
        f"{_psql(engine.address)} {{}}",
        password_of(engine.address),
        "moodle-4.5.5-postgresql.sql.gz",
    )


def copy_postgresql(directory: Path) -> list[Row]:
    """A clone on the machine's PostgreSQL beside `pg_dump | psql`."""
    if reason := servers.postgresql_missing():
        print(f"copy PostgreSQL: {reason}")
        return []
    settings = ("fsync=on", "full_page_writes=on", "shared_buffers=128MB")
    options = [word for setting in settings for word in ("-c", setting)]
    with servers.private_postgresql(directory / "postgresql", *options) as server:
        engine = open_engine(server.address)
        major = int(engine.facts().version.partition(".")[0])
        return _copy_postgresql(engine, f"copy PostgreSQL {major} (494 tables)")


def copy_embedded(directory: Path) -> list[Row]:
    """A clone on the embedded PostgreSQL beside `pg_dump | psql`."""
    server = EmbeddedPostgreSQL(directory / "embedded")
    address = server.start()
    try:
        return _copy_postgresql(open_engine(address), "copy embedded PostgreSQL 18")
    finally:
        server.stop()


# ---- files


def copy_pool(directory: Path) -> list[Row]:
    """A clone of the file pool beside `cp -a`: until it returns, and until all is on the disk.

    Nothing is removed in between: ext4 passes by inodes that were freed in the last minutes, one by
    one, and making a directory then takes several times as long for both.
    """
    source = directory / "source"
    make_pool(source)
    flush(directory)
    times: dict[str, list[float]] = {"cp": [], "cp+": [], "ours": [], "ours+": []}
    for number in range(2):
        theirs, ours = directory / f"theirs{number}", directory / f"ours{number}"
        theirs.mkdir()
        ours.mkdir()
        # Where the file system shares blocks, cp does so too unless told not to.
        cp = ["cp", "-a", "--reflink=never", f"{source}/filedir", f"{theirs}/filedir"]
        times["cp"].append(seconds(lambda command=cp: subprocess.run(command, check=True)))
        times["cp+"].append(times["cp"][-1] + seconds(lambda: flush(directory)))
        free = shutil.disk_usage(directory).free
        start = time.perf_counter()
        method = copy_filedir(source, ours).method
        times["ours"].append(time.perf_counter() - start)
        times["ours+"].append(times["ours"][-1] + seconds(lambda: flush(directory)))
        taken = free - shutil.disk_usage(directory).free
    best = {name: min(found) for name, found in times.items()}
    what = f"clone filedir, 20,000 files, 2 GB ({method})"
    bare = seconds(lambda: make_directories(source / "filedir", directory / "bare"))
    print(
        f"{what}: {taken / 1e6:.0f} MB of disk taken, by directories and whoever writes beside;"
        f" making the directories alone takes {bare:.2f} s"
    )
    return [
        Row(what, "cp -a", best["cp"], best["ours"], 0.1),
        Row("  until it is on the disk", "cp -a && sync -f", best["cp+"], best["ours+"], 0.1),
    ]


def flush(directory: Path) -> None:
    """Bring everything on the directory's file system to its disk."""
    subprocess.run(["sync", "-f", str(directory)], check=True)


def make_directories(source: Path, target: Path) -> None:
    """Make a tree's directories without its files: what no clone can do without."""
    for place, _directories, _files in os.walk(source):
        os.mkdir(place.replace(str(source), str(target), 1))  # noqa: PTH102 - as the clone does


def make_pool(root: Path) -> None:
    """Write files as Moodle names and spreads them."""
    noise = os.urandom(POOL_FILE_SIZE)
    for number in range(POOL_FILES):
        content = number.to_bytes(8, "big") + noise
        name = hashlib.sha1(content).hexdigest()  # noqa: S324 - Moodle's own naming
        place = root / "filedir" / name[:2] / name[2:4]
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)


ROWS: tuple[Callable[[Path], list[Row]], ...] = (
    copy_pool,
    copy_mariadb,
    copy_postgresql,
    copy_embedded,
)


@contextmanager
def bench_directory() -> Iterator[Path]:
    """Yield a directory that the servers' accounts can enter, gone afterwards."""
    directory = tempfile.mkdtemp(prefix="vmb-", dir=os.environ.get("VMOODLE_BENCH_DIR"))
    try:
        Path(directory).chmod(0o711)
        yield Path(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def main() -> None:
    """Print the rows; words on the command line choose by the functions' names."""
    chosen = [row for row in ROWS if not sys.argv[1:] or row.__name__ in sys.argv[1:]]
    for measure in chosen:
        with bench_directory() as directory:
            if measure is not copy_pool and not FIXTURES.is_dir():
                print(f"{measure.__name__}: no fixtures at {FIXTURES}")
                continue
            for row in measure(directory):
                row.show()


if __name__ == "__main__":
    main()
