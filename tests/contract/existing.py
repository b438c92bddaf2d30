"""A Moodle that VMoodle did not make: a database, an account and a moodledata of its own."""

from __future__ import annotations

import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.contract.copies import CopyFleet

from vmoodle.engines.protocol import SiteDatabase
from vmoodle.secret import Secret, generate_password

CONFIG = """<?php  // Moodle configuration file
unset($CFG); global $CFG; $CFG = new stdClass();
$CFG->dbtype    = '{dbtype}';
$CFG->dblibrary = 'native';
$CFG->dbhost    = '{host}';
$CFG->dbname    = '{database.name}';
$CFG->dbuser    = '{database.account}';
$CFG->dbpass    = '{password}';
$CFG->prefix    = '{database.prefix}';
$CFG->dboptions = array ('dbpersist' => 0, 'dbport' => {port}, 'dbsocket' => '{socket}');
$CFG->wwwroot   = '{url}';
$CFG->dataroot  = '{dataroot}';
$CFG->sslproxy  = false;
require_once(__DIR__ . '/lib/setup.php');
"""


@dataclass
class Existing:
    """An existing Moodle, and the config.php with which it was run."""

    database: SiteDatabase
    dataroot: Path
    url: str
    config: Path


def make_existing_pair(copies: CopyFleet, *names: str) -> list[Existing]:
    """Make Moodles that share one database account, as the original VMoodle's often do."""
    password = generate_password()
    return [make_existing(copies, name, "u_shared", password) for name in names]


def make_existing(
    copies: CopyFleet, name: str, account: str = "", password: Secret | None = None
) -> Existing:
    """Copy the site `first`, by the engine's own means, to where VMoodle knows nothing of it."""
    directory = copies.fleet.home.parent / f"existing-{name}"
    directory.mkdir()
    directory.chmod(0o755)
    source = copies.database("first")
    database = SiteDatabase(
        f"moodle_{name}", account or f"u_{name}", password or generate_password()
    )
    if not copies.engine.account_exists(database.account):
        copies.engine.create_account(database)
    copies.engine.clone_database(source, database)
    dataroot = directory / "moodledata"
    shutil.copytree(copies.fleet.json("site", "show", "first")["dataroot"], dataroot)
    if os.geteuid() == 0:
        web = pwd.getpwnam("www-data")
        for path in (dataroot, *dataroot.rglob("*")):
            os.chown(path, web.pw_uid, web.pw_gid)
    made = Existing(database, dataroot, f"http://{name}.example.test", directory / "config.php")
    write_config(copies, made)
    return made


def write_config(copies: CopyFleet, existing: Existing) -> None:
    """Write the Moodle's config.php as its installer would."""
    address = copies.engine.address
    existing.config.write_text(
        CONFIG.format(
            dbtype="mariadb" if address.engine == "mariadb" else "pgsql",
            host="localhost" if address.socket else address.host,
            port=address.port or "''",
            socket=address.socket or "",
            database=existing.database,
            password=existing.database.password.reveal(),
            url=existing.url,
            dataroot=existing.dataroot,
        )
    )


def files(directory: Path) -> dict[str, str]:
    """Return what the files of a moodledata's pool are."""
    pool = directory / "filedir"
    return {str(path): path.read_text() for path in pool.rglob("*") if path.is_file()}
