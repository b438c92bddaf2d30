"""Prove a site: request its front page through the hook and look for the site's own name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vmoodle.errors import Failed, InvalidInput
from vmoodle.hook.address import parse_wwwroot
from vmoodle.hook.check import SiteAnswer, check_site
from vmoodle.installation import Installation
from vmoodle.lifecycle import code_cache
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.php.server import PhpServer
from vmoodle.registry.models import Site

Target = tuple[str, int]


def prove(installation: Installation, site: Site) -> SiteAnswer:
    """Request the front page and return what was seen; raise Failed when it is not the site's."""
    log = private_log(installation, site)
    log.unlink(missing_ok=True)
    with reach(installation, site) as (target, tls):
        answer = check_site(
            parse_wwwroot(site.wwwroot), connect_to=target, expected_name=site.name, tls=tls
        )
    if not answer.seen_name:
        raise Failed(
            "site.proof",
            f"The front page of {site.wwwroot} does not show the site's name: "
            f"{answer.summary()}. {first_fault(log)}".rstrip(),
            f"The web server's error log says more ({log} when VMoodle served the page itself).",
        )
    return answer


def first_fault(log: Path) -> str:
    """Return the first error PHP wrote to the private server's log, empty for none."""
    if not log.exists():
        return ""
    text = log.read_text(encoding="utf-8", errors="replace")
    found = re.search(r"PHP (?:Fatal|Parse|Warning).*", text)
    return found[0][:500] if found else ""


@contextmanager
def reach(installation: Installation, site: Site) -> Iterator[tuple[Target, bool]]:
    """Give the address to connect to for a site, and whether to speak TLS there.

    That is `web.connect` when it is set, else a private PHP server that runs as long as the
    context: a new site is proved before its name leads anywhere. The private server tells PHP the
    scheme and the port of the site's own address.
    """
    given = configured(installation)
    if given is not None:
        yield given
        return
    tree = MoodleTree.open(site.codebase.path)
    with PhpServer(
        tree,
        installation.php,
        log=private_log(installation, site),
        proved_scheme="https" if site.wwwroot.startswith("https://") else "http",
        compiled=code_cache.directory(installation, site.codebase),
    ) as server:
        yield (server.host, server.port), False


def private_log(installation: Installation, site: Site) -> Path:
    """Return where a private server that proves the site logs."""
    return installation.home.log / f"proof-{site.shortname}.log"


def configured(installation: Installation) -> tuple[Target, bool] | None:
    """Return what web.connect says, None when it is empty; raise InvalidInput for what is none."""
    text = installation.settings.web.connect
    if not text:
        return None
    scheme, separator, place = text.rpartition("://")
    host, _colon, port = place.rpartition(":")
    if not host or not port.isdigit() or (separator and scheme not in {"http", "https"}):
        raise InvalidInput(
            "settings.value",
            f"web.connect is {text!r}, which is neither host:port nor https://host:port.",
            "Something like 127.0.0.1:80.",
        )
    return (host, int(port)), scheme == "https"
