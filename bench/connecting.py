"""What it takes to connect to each database in turn and ask it something, without VMoodle: from C.

MariaDB: a loop of `connect_loop.c`, compiled against the client library where this machine has a
compiler and the library; else `mariadb-slap`, which knows one database. PostgreSQL: the rate of
`pgbench -C -S`. Each is done by one client, and by two at the same time.
"""

from __future__ import annotations

import ctypes.util
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from vmoodle.engines import clients
from vmoodle.engines.address import ServerAddress
from vmoodle.engines.protocol import SiteDatabase

Floor = Callable[[int], float]
"""Gives the seconds that so many clients take for all databases."""


def floor(
    address: ServerAddress, databases: list[SiteDatabase], sql: str, directory: Path
) -> tuple[str, Floor]:
    """Return what the floor is called, and what measures it."""
    if address.engine == "postgresql":
        return "pgbench -C -S", _pgbench(address, databases)
    if loop := _compiled(directory):
        return "C, connect and ask", _loop(loop, address, databases, sql)
    return "mariadb-slap", _slap(address, databases, sql)


def _compiled(directory: Path) -> Path | None:
    compiler, library = shutil.which("cc"), ctypes.util.find_library("mariadb")
    if not (compiler and library):
        return None
    program = directory / "connect_loop"
    source = Path(__file__).with_name("connect_loop.c")
    subprocess.run([compiler, "-O2", "-o", program, source, f"-l:{library}"], check=True)
    return program


def _loop(program: Path, address: ServerAddress, databases: list[SiteDatabase], sql: str) -> Floor:
    lines = "".join(f"{d.name}\t{d.account}\t{d.password.reveal()}\n" for d in databases)
    words = [str(program), str(address.host), str(address.effective_port), sql]
    return lambda count: float(_output([*words, str(count)], stdin=lines))


def _slap(address: ServerAddress, databases: list[SiteDatabase], sql: str) -> Floor:
    one = databases[0]
    words = [
        "mariadb-slap", "--no-defaults", f"-h{address.host}", f"-P{address.effective_port}",
        f"-u{one.account}", f"--create-schema={one.name}", "--no-drop", "--detach=1",
        f"--number-of-queries={len(databases)}", f"--query={sql}",
    ]  # fmt: skip

    def measure(count: int) -> float:
        told = _output([*words, f"--concurrency={count}"], MYSQL_PWD=one.password.reveal())
        found = re.search(r"Average number of seconds to run all queries: ([\d.]+)", told)
        return float(found[1]) if found else float("nan")

    return measure


def _pgbench(address: ServerAddress, databases: list[SiteDatabase]) -> Floor:
    one = databases[0]
    words = [
        str(clients.postgresql_programs(15) / "pgbench"), "-h", str(address.host),
        "-p", str(address.effective_port), "-U", one.account, one.name,
    ]  # fmt: skip
    secret = one.password.reveal()
    _output([*words, "-i", "-q"], PGPASSWORD=secret)

    def measure(count: int) -> float:
        call = [*words, "-n", "-C", "-S", f"-c{count}", f"-j{count}", "-T2"]
        found = re.search(r"tps = ([\d.]+)", _output(call, PGPASSWORD=secret))
        return len(databases) / float(found[1]) if found else float("nan")

    return measure


def _output(words: list[str], *, stdin: str = "", **environment: str) -> str:
    return subprocess.run(
        words, input=stdin, env=os.environ | environment, check=True, capture_output=True, text=True
    ).stdout
