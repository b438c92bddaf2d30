"""One VMoodle installation: its home, settings and keys, and what is opened with them."""

from __future__ import annotations

import grp
import os
import pwd
import socket
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from vmoodle.errors import InvalidInput
from vmoodle.home import Home, locate_home
from vmoodle.secret import Keyring, Secret
from vmoodle.settings import Settings
from vmoodle.settings_file import load_settings

if TYPE_CHECKING:
    from vmoodle.engines.protocol import Engine, SiteDatabase
    from vmoodle.hook.map import HostMap
    from vmoodle.moodle.php.binary import PhpBinary
    from vmoodle.registry.models import DatabaseServer, Site, Template, WarmCopy

DEFAULT_WEB_ACCOUNT = "www-data"


class Installation:
    """What every part of VMoodle is given to work with."""

    def __init__(self, home: Home, settings: Settings, *, exposed_too: bool = False) -> None:
        self.home = home
        self.settings = settings
        self.keyring = Keyring(home.key_file, exposed_too=exposed_too)

    @cached_property
    def node(self) -> str:
        """This node's name: the one set, else the host name at first use, kept in the home."""
        if self.settings.operations.node:
            return self.settings.operations.node
        path = self.home.path / "node"
        if not path.exists():
            from vmoodle.files import write_atomically

            write_atomically(path, (socket.gethostname() or "node") + "\n")
        return path.read_text(encoding="utf-8").strip()

    @cached_property
    def web_account(self) -> pwd.struct_passwd:
        """The system account PHP runs as; raise InvalidInput when it does not exist."""
        wanted = self.settings.web.account
        if not wanted:
            wanted = DEFAULT_WEB_ACCOUNT if os.geteuid() == 0 else ""
        try:
            return pwd.getpwnam(wanted) if wanted else pwd.getpwuid(os.geteuid())
        except KeyError as error:
            raise InvalidInput(
                "settings.web.account",
                f"The web account {wanted or os.geteuid()} does not exist on this machine.",
                "Set web.account in vmoodle.toml to the account your web server runs PHP as.",
            ) from error

    @property
    def web_group(self) -> str:
        """The name of the web account's own group."""
        return grp.getgrgid(self.web_account.pw_gid).gr_name

    @cached_property
    def php(self) -> PhpBinary:
        """PHP's command line, run as the web account; raise Unavailable when there is none."""
        from vmoodle.moodle.php.binary import PhpBinary, find_php

        account = self.web_account.pw_name if os.geteuid() == 0 else None
        return PhpBinary(find_php(self.settings.php.binary or None), account)

    @cached_property
    def host_map(self) -> HostMap:
        """The compiled host map the hook reads."""
        from vmoodle.hook.map import HostMap

        return HostMap(self.home.map, self.map_group)

    @property
    def map_group(self) -> int | None:
        """The group id that may read the map, None when the map is VMoodle's own account's."""
        return self.web_account.pw_gid if os.geteuid() == 0 else None

    @property
    def dataroot_base(self) -> Path:
        """The directory that holds every site's moodledata, by default in the home's real place."""
        chosen = self.settings.sites.dataroot_base
        return chosen or self.home.path.resolve() / self.home.moodledata.name

    def engine(self, server: DatabaseServer) -> Engine:
        """Open a database server; start it first when it is the embedded one."""
        from vmoodle.engines.address import parse_url
        from vmoodle.engines.protocol import open_engine

        if server.embedded:
            from vmoodle.engines.embedded import EmbeddedPostgreSQL

            return open_engine(EmbeddedPostgreSQL(self.home.embedded).start())
        address = parse_url(self.keyring.decrypt(server.url_encrypted).reveal())
        prefix = self.settings.sites.database_prefix
        return open_engine(address, server.flavour or None, prefix=prefix)

    def site_database(self, site: Site) -> SiteDatabase:
        """Return a site's database with its own account and password."""
        return self._database(site, site.table_prefix)

    def template_database(self, template: Template) -> SiteDatabase:
        """Return a template's database with its own account and password."""
        return self._database(template, template.table_prefix)

    def warm_database(self, copy: WarmCopy) -> SiteDatabase:
        """Return a warm copy's database."""
        return self._database(copy, copy.table_prefix)

    def _database(self, row: Site | Template | WarmCopy, prefix: str) -> SiteDatabase:
        from vmoodle.engines.protocol import SiteDatabase

        password = self.keyring.decrypt(row.password_encrypted)
        return SiteDatabase(row.database, row.account, password, prefix)

    @property
    def owner_ids(self) -> tuple[int, int] | None:
        """The ids that moodledata belongs to, None when it is VMoodle's own account's anyway."""
        account = self.web_account
        return (account.pw_uid, account.pw_gid) if os.geteuid() == 0 else None

    def operations_url(self) -> str:
        """Return the SQLAlchemy URL of DBOS's database: beside the registry, like it."""
        url = self.settings.registry.url
        if not url:
            return f"sqlite:///{self.home.operations_file}"
        _scheme, _separator, rest = url.reveal().partition("://")
        return f"postgresql+psycopg://{rest}"

    def encrypt(self, secret: Secret) -> str:
        """Encrypt a secret for the registry."""
        return self.keyring.encrypt(secret)


def open_installation(*, exposed_too: bool = False) -> Installation:
    """Open the installation of this account, making its home and registry on first use.

    One whose key others can read is refused, unless `exposed_too`: the doctor reports it.
    """
    from vmoodle.registry.django_setup import connect

    home = locate_home()
    home.ensure()
    settings = load_settings(home.settings_file)
    installation = Installation(home, settings, exposed_too=exposed_too)
    installation.keyring.ensure()
    # SQLite creates files by the process's umask; the registry is for its owner alone.
    previous = os.umask(0o077)
    try:
        connect(home.registry_file, settings.registry.url, lock_file=home.run / "registry.lock")
    finally:
        os.umask(previous)
    return installation
