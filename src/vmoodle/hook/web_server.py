"""The web server's side: which web root each address is served from, and the server that does it.

The map changes with every site that comes, goes or moves; the server part is written once. nginx
reads its map when it is reloaded, Apache (RewriteMap) by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vmoodle.errors import InvalidInput

Server = Literal["nginx", "apache"]

HIDDEN = (
    r"^(?:(?!\.php/).)*/(?:\.(?!well-known/)[^/]*|vendor|node_modules|fixtures|behat"
    r"|config-dist\.php|config\.before-vmoodle[^/]*|composer\.(?:json|lock)|package\.json"
    r"|npm-shrinkwrap\.json|environment\.xml|install\.xml|readme(?:[_.-][^/]*)?|upgrade\.txt"
    r"|upgrading(?:[_.-][^/]*)?|phpunit\.xml(?:\.dist)?|behat\.yml\.dist|gruntfile\.js"
    r"|[^/]*\.lock)(?:/|$)"
)
"""Sources and tools, never pages; what follows a script is its own."""

_ADDRESS = re.compile(r"[a-z0-9.-]+(?:/[a-z0-9][a-z0-9_-]*)?")
_MARKS = "/._+@~=:-"
_MADE = "Made by `vmoodle web-config {server}` from the registry; never edit it."
# nginx: a name must fit into a bucket beside some bytes of its own, and many want a larger table.
_BUCKETS = (64, 128, 256, 512)
_BUCKET_OWN = 24
_TABLE = 2048

_NGINX_MAP = """# {made}
{sizes}
# The first word of the path, where it may be a site's.
map $uri $vmoodle_word {{
    volatile;
    default "";
    "~^/(?<vmoodle_first>[a-z0-9][a-z0-9_-]*)(?:/|$)" $vmoodle_first;
}}
# Whether a site below a path is meant: as the path is now, and as it was asked for.
map $host/$vmoodle_word $vmoodle_now {{
    volatile;
    default "";
{below}}}
map $vmoodle_now $vmoodle_below {{
    default $vmoodle_now;
}}
map $host$vmoodle_below $vmoodle_root {{
    default "{default}";
{roots}}}
"""
_NGINX_SERVER = r"""server {
    listen 80 default_server;
    server_name _;
    root $vmoodle_root;
    index index.php;
    absolute_redirect off;

    # A site below a path has its files at the top of its web root.
    set $vmoodle_prefix $vmoodle_below;
    if ($vmoodle_now) {
        rewrite ^/[^/]+$ $uri/ permanent;
        rewrite ^/[^/]+(/.*)$ $1;
    }

    location ~* "HIDDEN" {
        return 404;
    }
    location ~* "^/config\.php(?:/|$)" {
        return 404;
    }
    location ~ "^(?<script>.+?\.php)(?<info>/.*)?$" {
        if (!-f $document_root$script) { return 404; }
        include fastcgi_params;
        fastcgi_param SCRIPT_FILENAME $document_root$script;
        fastcgi_param SCRIPT_NAME $vmoodle_prefix$script;
        fastcgi_param PATH_INFO $info;
        fastcgi_pass FPM;
    }
    location ~ "[^/]$" {
        if (-d $request_filename) { return 301 $vmoodle_prefix$uri/$is_args$args; }
        try_files $uri /r.php$is_args$args;
    }
    # What is no file is Moodle's own router's, where the tree has one; else it is not found.
    location / { try_files $uri $uri/ /r.php$is_args$args; }
}
"""
_APACHE_SERVER = r"""<VirtualHost *:80>
    ServerName fleet.example.org
    ServerAlias *
    UseCanonicalName Off
    # Of hosts that VMoodle does not know, its page says so.
    DocumentRoot "DEFAULT"
    RewriteEngine On
    RewriteMap vmoodle "txt:MAP"

    # Sources and tools, never pages.
    RewriteRule "(?i)HIDDEN" "-" [R=404,L]
    RewriteRule "(?i)^(?:/[^/]+)?/config\.php(?:/|$)" "-" [R=404,L]

    # A site below a path has its files at the top of its web root.
    RewriteCond "${vmoodle:%{SERVER_NAME}$1}" "."
    RewriteRule "^(/[a-z0-9][a-z0-9_-]*)$" "$1/" [R=301,L]
BELOW
    # All others.
BESIDE
    <FilesMatch "\.php$">
        SetHandler "proxy:FPM|fcgi://localhost"
    </FilesMatch>
DIRECTORIES</VirtualHost>
"""
# What is put in begins with the path itself: Apache takes no other for a file (since 2.4.60).
_APACHE_BELOW = r"""    RewriteCond "${{vmoodle:%{{SERVER_NAME}}$1}}" "={name}"
    RewriteRule "^(/[a-z0-9][a-z0-9_-]*)(/.*)$" "{root}$2" [E=VMOODLE_BELOW:$1,L]
"""
_APACHE_BESIDE = r"""    RewriteCond "${{vmoodle:%{{SERVER_NAME}}}}" "={name}"
    RewriteRule "^(/.*)$" "{root}$1" [L]
"""
_APACHE_DIRECTORY = r"""    <Directory "{root}">
        Require all granted
        AllowOverride None
        Options -Indexes +FollowSymLinks
        AcceptPathInfo On
        DirectoryIndex index.php
        RewriteEngine On
        # What is no file is Moodle's own router's, where the tree has one.
        RewriteCond "%{{REQUEST_FILENAME}}" "!-f"
        RewriteCond "%{{REQUEST_FILENAME}}" "!-d"
        RewriteCond "{root}/r.php" "-f"
        RewriteCond "%{{REQUEST_URI}}" "!\.php(?:/|$)"
        RewriteRule "" "%{{ENV:VMOODLE_BELOW}}/r.php" [L]
    </Directory>
"""


@dataclass(frozen=True)
class Served:
    """From which codebase addresses, as `host` or `host/segment`, are served, and where those are.

    All other addresses are served from the first.
    """

    addresses: Mapping[str, str]
    roots: Mapping[str, Path]


def render_map(server: Server, served: Served) -> str:
    """Return the map of a web server; the same sites give the same text.

    Raise InvalidInput `web.address` or `web.root` for what a web server could take for something
    else.
    """
    for address in served.addresses:
        if not _ADDRESS.fullmatch(address):
            raise InvalidInput(
                "web.address",
                f"{address!r} is no address that can stand in a web server's map.",
                "Give the site a host of letters, digits, dots and dashes.",
            )
    return _nginx_map(served) if server == "nginx" else _apache_map(served)


def render_server(server: Server, served: Served, *, fpm: str, map_file: str) -> str:
    """Return the server that uses the map, to be put into the web server's configuration once.

    `fpm` is where PHP-FPM listens, as `unix:/run/php/php-fpm.sock` or `127.0.0.1:9000`. Apache's
    names each codebase: one that is added later has to be added there. Raise InvalidInput
    `web.fpm`, `web.root`.
    """
    if not re.fullmatch(r"unix:/[\w./-]+|[\w.-]+:[0-9]+", fpm):
        raise InvalidInput(
            "web.fpm",
            f"{fpm!r} is no address of PHP-FPM.",
            "Something like unix:/run/php/php-fpm.sock, or 127.0.0.1:9000.",
        )
    if server == "nginx":
        return _NGINX_SERVER.replace("HIDDEN", HIDDEN).replace("FPM", fpm)
    roots = {name: _checked(root) for name, root in served.roots.items()}

    def each(template: str) -> str:
        return "".join(template.format(name=name, root=root) for name, root in roots.items())

    socket = fpm.startswith("unix:")
    parts = {
        "HIDDEN": HIDDEN,
        "DEFAULT": next(iter(roots.values())),
        "MAP": map_file,
        "FPM|fcgi://localhost": f"{fpm}|fcgi://localhost" if socket else f"fcgi://{fpm}",
        "BELOW\n": each(_APACHE_BELOW),
        "BESIDE\n": each(_APACHE_BESIDE),
        "DIRECTORIES": each(_APACHE_DIRECTORY),
    }
    text = _APACHE_SERVER
    for word, part in parts.items():
        text = text.replace(word, part)
    return text


def _nginx_map(served: Served) -> str:
    below = [address for address in served.addresses if "/" in address]
    longest = max((len(address) for address in served.addresses), default=0) + _BUCKET_OWN
    sizes = []
    if longest > _BUCKETS[0]:
        size = next((one for one in _BUCKETS if one >= longest), _BUCKETS[-1])
        sizes.append(f"map_hash_bucket_size {size};\n")
    if (count := len(served.addresses)) > _TABLE // 4:
        sizes.append(f"map_hash_max_size {1 << (count * 8).bit_length()};\n")
    roots = {name: _checked(root) for name, root in served.roots.items()}
    return _NGINX_MAP.format(
        made=_MADE.format(server="nginx"),
        sizes="".join(sizes),
        below="".join(f'    "{one}" "/{one.partition("/")[2]}";\n' for one in sorted(below)),
        default=next(iter(roots.values())),
        roots="".join(
            f'    "{address}" "{roots[name]}";\n'
            for address, name in sorted(served.addresses.items())
        ),
    )


def _apache_map(served: Served) -> str:
    lines = [f"{address} {name}\n" for address, name in sorted(served.addresses.items())]
    return f"# {_MADE.format(server='apache')}\n" + "".join(lines)


def _checked(root: Path) -> str:
    """Return a web root's path; a sign that a web server reads as its own is refused."""
    text = str(root)
    if not text.startswith("/") or not all(sign.isalnum() or sign in _MARKS for sign in text):
        raise InvalidInput(
            "web.root",
            f"The path {text!r} holds signs that a web server's map cannot have.",
            f"Move the code tree to a path of letters, digits and {' '.join(_MARKS)}",
        )
    return text
