"""A site on a sandbox tree with a static config.php, as no VMoodle made it, and its browser."""

from __future__ import annotations

import email.message
import http.client
import http.cookiejar
import itertools
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers import (
    PrivateServer,
    free_port,
    wait_until,
)

from vmoodle import sandbox

PHP = ("php", "-d", "max_input_vars=5000")
PASSWORD = "Quiet-River-42"
NAME = 'Höhere Schule <am> "See" & O\'Brien'

ROUTER = r"""<?php
// Slash arguments for PHP's own server: the script is the part of the path that ends in .php.
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
$path .= str_ends_with($path, '/') ? 'index.php' : '';
if (!preg_match('#^(.+?\.php)(/.*)?$#', $path, $found)) {
    return false;
}
$_SERVER['SCRIPT_NAME'] = $found[1];
$_SERVER['PATH_INFO'] = $found[2] ?? '';
$script = $_SERVER['DOCUMENT_ROOT'] . $found[1];
chdir(dirname($script));
require $script;
"""


@dataclass
class Answer:
    """Hold what the web server said."""

    status: int
    headers: email.message.Message
    text: str


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


class Browser:
    """Keep cookies and follow no redirect."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(
            _NoRedirect, urllib.request.HTTPCookieProcessor(self.cookies)
        )

    def get(self, path: str, host: str = "", **form: str) -> Answer:
        """Request a page; with a form, send it by POST."""
        request = urllib.request.Request(self.base + path)  # noqa: S310 - our own server
        if host:
            request.add_header("Host", host)
        data = urllib.parse.urlencode(form).encode() if form else None
        try:
            with self._opener.open(request, data, timeout=30) as reply:
                return Answer(reply.status, reply.headers, reply.read().decode())
        except urllib.error.HTTPError as reply:
            return Answer(reply.code, reply.headers, reply.read().decode())

    def log_in(self, password: str, username: str = "admin") -> Answer:
        """Send the login form with the token of the page."""
        token = re.search(r'name="logintoken" value="(\w+)"', self.get("/login/index.php").text)
        assert token
        form = {"logintoken": token[1], "username": username, "password": password}
        return self.get("/login/index.php", **form)


@dataclass
class Site:
    """Hold a sandbox tree with a static config.php and its database."""

    tree: Path
    dataroot: Path
    port: int
    engine: str
    server: PrivateServer
    database: str

    @property
    def web_root(self) -> Path:
        """Return the directory that the web server serves."""
        public = self.tree / "public"
        return public if public.is_dir() else self.tree

    @property
    def url(self) -> str:
        """Return the site's wwwroot."""
        return f"http://localhost:{self.port}"

    def write_config(self, forced: str = "") -> None:
        """Write the tree's config.php."""
        address = self.server.address
        settings = {
            "dbtype": self.engine,
            "dblibrary": "native",
            "dbhost": address.host,
            "dbname": self.database,
            "dbuser": address.user,
            "dbpass": address.password.reveal(),
            "prefix": "mdl_",
            "wwwroot": self.url,
            "dataroot": str(self.dataroot),
            "admin": "admin",
        }
        lines = [f"$CFG->{name} = {_php(value)};" for name, value in settings.items()]
        lines.append(f"$CFG->dboptions = ['dbport' => {address.effective_port}];")
        (self.tree / "config.php").write_text(
            "<?php\nunset($CFG);\nglobal $CFG;\n$CFG = new stdClass();\n"
            + "\n".join(lines)
            + f"\n{forced}\nrequire_once __DIR__ . '/lib/setup.php';\n"
        )

    def run(
        self, script: str, *arguments: str, php: tuple[str, ...] = PHP
    ) -> subprocess.CompletedProcess[str]:
        """Run a script of admin/cli."""
        command = [*php, str(self.tree / "admin" / "cli" / f"{script}.php"), *arguments]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def install(self, **options: str) -> subprocess.CompletedProcess[str]:
        """Run the installer."""
        return self.run(
            "install_database",
            "--agree-license",
            f"--adminpass={PASSWORD}",
            "--adminemail=admin@example.com",
            f"--fullname={NAME}",
            "--shortname=school",
            *(f"--{name}={value}" for name, value in options.items()),
        )

    def setting(self, name: str) -> str:
        """Return a setting as cfg.php shows it."""
        return self.run("cfg", f"--name={name}", "--no-eol").stdout

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        """Run a statement in the site's database, past every cache."""
        address = self.server.address
        password = address.password.reveal()
        if self.engine == "pgsql":
            import psycopg

            with psycopg.connect(
                host=address.host,
                port=address.effective_port,
                user=address.user,
                password=password,
                dbname=self.database,
                autocommit=True,
            ) as postgresql:
                cursor = postgresql.execute(statement.encode())
                return list(cursor.fetchall()) if cursor.description else []
        import pymysql

        with (
            pymysql.connect(
                host=address.host,
                port=address.effective_port,
                user=address.user,
                password=password,
                database=self.database,
                autocommit=True,
            ) as mariadb,
            mariadb.cursor() as rows,
        ):
            rows.execute(statement)
            return list(rows.fetchall())

    @contextmanager
    def served(self) -> Iterator[Browser]:
        """Serve the tree by PHP's own server for the length of the block."""
        router = self.dataroot.parent / "router.php"
        router.write_text(ROUTER)
        command = [*PHP, "-S", f"localhost:{self.port}", "-t", str(self.web_root), str(router)]
        with (self.dataroot.parent / "php.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            wait_until(lambda: _listens(self.port), "the start of PHP's own server")
            yield Browser(self.url)
        finally:
            process.terminate()
            process.wait(30)


def _php(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _listens(port: int) -> bool:
    connection = http.client.HTTPConnection("localhost", port, timeout=2)
    try:
        connection.connect()
    except OSError:
        return False
    finally:
        connection.close()
    return True


_numbers = itertools.count(1)


def make_site(
    engine: tuple[str, PrivateServer], directory: Path, layout: sandbox.Layout, release: str
) -> Site:
    """Make a tree and an empty database for it."""
    number = next(_numbers)
    place = directory / f"site{number}"
    (place / "data").mkdir(parents=True)
    tree = sandbox.copy_tree(place / "tree", layout, release)
    name, server = engine
    database = "postgres" if name == "pgsql" else "mysql"
    site = Site(tree, place / "data", free_port(), name, server, database)
    encoding = "" if name == "pgsql" else " CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"
    site.sql(f"CREATE DATABASE sandbox{number}{encoding}")
    site.database = f"sandbox{number}"
    site.write_config()
    return site
