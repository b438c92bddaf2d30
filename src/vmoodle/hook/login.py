"""Log in to a site as a visitor's browser does: its form, its token, its cookies."""

from __future__ import annotations

import html
import http.client
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urljoin, urlsplit

from vmoodle.errors import Unavailable
from vmoodle.hook.address import SiteAddress
from vmoodle.hook.check import MOST_REDIRECTS, REDIRECTS, TIMEOUT_SECONDS
from vmoodle.secret import Secret

_READ_BYTES = 2_000_000
# Every page of somebody who is logged in has it, in Moodle's themes and in the sandbox.
_LOGGED_IN = re.compile(r"/login/logout\.php\?sesskey=\w+")
_TOKEN = re.compile(r"<input[^>]*\bname=[\"']logintoken[\"'][^>]*>", re.IGNORECASE)
_VALUE = re.compile(r"\bvalue=[\"']([^\"']*)[\"']", re.IGNORECASE)
_NOTICE = re.compile(r"<[^>]*\brole=[\"']alert[\"'][^>]*>(.*?)</", re.DOTALL | re.IGNORECASE)


def log_in(
    address: SiteAddress, user: str, password: Secret, *, connect_to: tuple[str, int]
) -> str:
    """Log in by the form of the site that the server at `connect_to` serves without TLS.

    Return what went wrong in words for a person, empty when the page that follows is one of
    somebody who is logged in. Raise Unavailable when nothing answers.
    """
    visitor = _Visitor(address, connect_to)
    url = f"{address.wwwroot}/login/index.php"
    try:
        form = visitor.open(url)
        if form.status != http.client.OK:
            return f"the login page answers {form.status}"
        fields = {"username": user, "password": password.reveal()}
        if token := _TOKEN.search(form.text):
            value = _VALUE.search(token[0])
            fields["logintoken"] = html.unescape(value[1]) if value else ""
        landed = visitor.open(url, fields)
        if landed.status == http.client.OK and _LOGGED_IN.search(landed.text):
            return ""
        notice = _NOTICE.search(landed.text)
        said = re.sub(r"<[^>]*>|\s+", " ", html.unescape(notice[1])).strip() if notice else ""
        where = urlsplit(landed.url).path
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Unavailable(
            "site.login.unanswered",
            f"The login page of {address.wwwroot} gave no answer ({error}).",
            "The log of the server that serves it says more.",
        ) from error
    return f"the login ends at {where} with {landed.status} and nobody logged in" + (
        f": {said[:200]}" if said else ""
    )


@dataclass(frozen=True)
class _Page:
    url: str
    status: int
    text: str


@dataclass
class _Visitor:
    """Somebody who keeps the site's cookies and goes where it sends them, within the site."""

    address: SiteAddress
    connect_to: tuple[str, int]
    cookies: dict[str, str] = field(default_factory=dict)

    def open(self, url: str, form: Mapping[str, str] | None = None) -> _Page:
        """Return the page at the end of the redirects; the last answer where they leave the site.

        A form is posted once; what follows is read.
        """
        for _redirect in range(MOST_REDIRECTS + 1):
            page, location = self._request(url, form)
            target = urljoin(url, location)
            if page.status not in REDIRECTS or not target.startswith(f"{self.address.wwwroot}/"):
                break
            url, form = target, None
        return page

    def _request(self, url: str, form: Mapping[str, str] | None) -> tuple[_Page, str]:
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"Host": self.address.host_header}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        body = None
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(form)
        connection = http.client.HTTPConnection(self.address.host, timeout=TIMEOUT_SECONDS)
        connection.sock = socket.create_connection(self.connect_to, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("GET" if form is None else "POST", target, body, headers)
            response = connection.getresponse()
            text = response.read(_READ_BYTES).decode("utf-8", errors="replace")
            self._keep(response.headers.get_all("Set-Cookie") or [])
            return _Page(url, response.status, text), response.getheader("Location") or ""
        finally:
            connection.close()

    def _keep(self, lines: list[str]) -> None:
        for line in lines:
            name, separator, value = line.partition(";")[0].partition("=")
            if separator and value.strip() == "deleted":
                self.cookies.pop(name.strip(), None)
            elif separator:
                self.cookies[name.strip()] = value.strip()
