"""Request a site's front page and tell what was seen."""

from __future__ import annotations

import html
import http.client
import re
import socket
import ssl
import time
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from vmoodle.hook.address import SiteAddress

TIMEOUT_SECONDS = 60
MOST_REDIRECTS = 5
_READ_BYTES = 2_000_000
REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class SiteAnswer:
    """What a site answered: HTTP status (0 for no answer), title, whether its name was seen."""

    status: int
    title: str
    seen_name: bool
    milliseconds: int
    error: str = ""

    def summary(self) -> str:
        """Return it in a few words."""
        if self.error:
            return self.error
        return f"{self.status} {self.title}".strip()


def check_site(
    address: SiteAddress, *, connect_to: tuple[str, int], expected_name: str, tls: bool = False
) -> SiteAnswer:
    """Request the front page of a site from the server at `connect_to` and look for its name.

    The Host header, and with TLS the name the certificate must have, are the site's own. A redirect
    is followed within the site (to its login page, say); one that leaves it is the answer.
    """
    start = time.perf_counter()
    url = f"{address.wwwroot}/"
    try:
        for _redirect in range(MOST_REDIRECTS):
            status, location, text = _get(address, url, connect_to, tls=tls)
            if status not in REDIRECTS:
                break
            url = urljoin(url, location)
            if not _is_within(address, url):
                return SiteAnswer(status, f"to {url}", False, _since(start))
    except (OSError, ValueError, http.client.HTTPException) as error:
        return SiteAnswer(0, "", False, _since(start), f"no answer ({error})")
    found = re.search(r"<title[^>]*>(.*?)</title>", text, re.DOTALL | re.IGNORECASE)
    title = _plain(found[1]) if found else ""
    seen = status == 200 and " ".join(expected_name.split()) in _plain(text)
    return SiteAnswer(status, expected_name if seen else title, seen, _since(start))


def read_page(
    address: SiteAddress, path: str, *, connect_to: tuple[str, int], tls: bool = False
) -> tuple[int, str]:
    """Return status and text of a page of a site, status 0 and the reason for no answer."""
    try:
        status, _location, text = _get(address, f"{address.wwwroot}{path}", connect_to, tls=tls)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return 0, f"no answer ({error})"
    return status, text


def _get(
    address: SiteAddress, url: str, connect_to: tuple[str, int], *, tls: bool
) -> tuple[int, str, str]:
    """Return status, Location header and text of one request."""
    connection = http.client.HTTPConnection(address.host, timeout=TIMEOUT_SECONDS)
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    plain = socket.create_connection(connect_to, timeout=TIMEOUT_SECONDS)
    try:
        connection.sock = plain
        if tls:
            context = ssl.create_default_context()
            connection.sock = context.wrap_socket(plain, server_hostname=address.host)
        connection.request("GET", target, headers={"Host": address.host_header})
        response = connection.getresponse()
        text = response.read(_READ_BYTES).decode("utf-8", errors="replace")
        return response.status, response.getheader("Location") or "", text
    finally:
        connection.close()
        plain.close()


def _is_within(address: SiteAddress, url: str) -> bool:
    return url.startswith(f"{address.wwwroot}/")


def _plain(text: str) -> str:
    """Return a text as a reader sees it: character references decoded, white space as one space."""
    return re.sub(r"\s+", " ", html.unescape(text)).strip()


def _since(start: float) -> int:
    return round((time.perf_counter() - start) * 1000)
