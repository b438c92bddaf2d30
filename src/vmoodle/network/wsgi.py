"""A server of Moodle Network behind WSGI: what peers ask of a Moodle over HTTP, no more."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmoodle.network.envelope import KEY_PATH
from vmoodle.network.protocol import MOODLE_ENDPOINT
from vmoodle.network.safe_xml import MOST_BYTES
from vmoodle.network.server import Server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_PAGE = "<!DOCTYPE html><html><head><title>{title}</title></head><body>{title}</body></html>"


@dataclass(frozen=True)
class NetworkApplication:
    """The endpoint, the public key, and a page whose title Moodle takes for the peer's name.

    Serve it from several threads: a peer whose key is fetched calls back before it answers.
    """

    server: Server
    title: str
    endpoint: str = MOODLE_ENDPOINT
    most_bytes: int = MOST_BYTES

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        status, kind, body = self._answer(environ)
        headers = [("Content-Type", kind), ("Content-Length", str(len(body)))]
        start_response(status, headers)
        return [body]

    def _answer(self, environ: WSGIEnvironment) -> tuple[str, str, bytes]:
        match environ["REQUEST_METHOD"], environ.get("PATH_INFO", ""):
            case "POST", self.endpoint:
                return self._call(environ)
            case "GET", path if path == KEY_PATH:
                pem = self.server.identity.keys.current.certificate.pem
                return "200 OK", "text/plain", pem.encode("ascii")
            case "GET", "" | "/":
                page = _PAGE.format(title=html.escape(self.title))
                return "200 OK", "text/html; charset=utf-8", page.encode()
        return "404 Not Found", "text/plain", b"Not found.\n"

    def _call(self, environ: WSGIEnvironment) -> tuple[str, str, bytes]:
        length = str(environ.get("CONTENT_LENGTH") or "")
        if not (length.isascii() and length.isdigit()):
            return "411 Length Required", "text/plain", b"Tell how long the message is.\n"
        # Before a byte of it is read.
        if len(length) > 12 or int(length) > self.most_bytes:
            return "413 Content Too Large", "text/plain", b"The message is too large.\n"
        body = environ["wsgi.input"].read(int(length))
        answer = self.server.answer(body, str(environ.get("REMOTE_ADDR", "")))
        return "200 OK", "text/xml; charset=utf-8", answer
