"""A browser's essentials: a cookie jar, redirects, and Moodle's login form."""

from __future__ import annotations

import html
import http.client
import re
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urlsplit

LIMIT_SECONDS = 60


@dataclass(frozen=True)
class Page:
    """An answer: its status, headers (lower-case names) and text."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def title(self) -> str:
        """The text of the page's title element."""
        found = re.search(r"<title>(.*?)</title>", self.text, re.DOTALL)
        return html.unescape(found[1]).strip() if found else ""


@dataclass
class Browser:
    """Visits the sites that one web server serves, whatever their host."""

    server: tuple[str, int]
    host: str
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, *, follow: bool = True) -> Page:
        """Request a path of the host; follow redirects within it."""
        return self._request("GET", path, None, follow=follow)

    def post(self, path: str, fields: dict[str, str], *, follow: bool = True) -> Page:
        """Send a form."""
        return self._request("POST", path, urlencode(fields), follow=follow)

    def login(self, username: str, password: str, prefix: str = "") -> Page:
        """Fill in Moodle's login form and send it; return the page behind it."""
        form = self.get(f"{prefix}/login/index.php")
        token = re.search(r'name="logintoken"\s+value="([^"]+)"', form.text)
        assert token, form.text[:500]
        return self.post(
            f"{prefix}/login/index.php",
            {"logintoken": token[1], "username": username, "password": password},
        )

    def is_logged_in(self, prefix: str = "") -> bool:
        """Tell whether the host takes this browser for a logged-in user."""
        return "login/logout.php" in self.get(f"{prefix}/").text

    def _request(self, method: str, path: str, body: str | None, *, follow: bool) -> Page:
        for _redirect in range(8):
            page = self._once(method, path, body)
            location = page.headers.get("location")
            if not follow or page.status not in {301, 302, 303, 307, 308} or not location:
                return page
            parts = urlsplit(location)
            if parts.netloc and parts.netloc != self.host:
                return page
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            method, body = "GET", None
        raise AssertionError(f"{self.host}{path} redirects without end")

    def _once(self, method: str, path: str, body: str | None) -> Page:
        connection = http.client.HTTPConnection(*self.server, timeout=LIMIT_SECONDS)
        headers = {"Host": self.host, "User-Agent": "VMoodle tests"}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", errors="replace")
        finally:
            connection.close()
        for line in answer.headers.get_all("Set-Cookie") or []:
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
        return Page(
            answer.status, {name.lower(): value for name, value in answer.headers.items()}, text
        )
