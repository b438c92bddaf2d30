"""Addresses of stores: a directory, a bucket or a directory over SFTP, and who may enter."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from vmoodle.errors import InvalidInput
from vmoodle.secret import Secret

Scheme = Literal["file", "s3", "sftp"]

_OPTIONS: Mapping[Scheme, frozenset[str]] = {
    "file": frozenset(),
    "s3": frozenset({"endpoint", "region", "addressing"}),
    "sftp": frozenset({"identity", "known_hosts"}),
}
_PATHS = frozenset({"identity", "known_hosts"})
_ADDRESSING = ("auto", "path", "virtual")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?|[0-9A-Fa-f:.]{2,45}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ENDPOINT = re.compile(r"https?://[A-Za-z0-9_.\[\]:-]{1,260}/?")
_EXAMPLE = (
    "Write /srv/store, s3://bucket/folder?endpoint=https://host or sftp://user@host/srv/store."
)


@dataclass(frozen=True)
class StoreCredentials:
    """Say who enters a store: access key and secret key for S3, account and password for SFTP.

    Empty ones leave it to the machine: AWS's own chain (environment, profile, role), or the ssh
    agent and the key file. With a key file (`identity`) the password is the key's passphrase.
    """

    user: str = ""
    password: Secret = field(default_factory=lambda: Secret(""))


@dataclass(frozen=True)
class StoreAddress:
    """Say where a store is. `host` is the bucket on S3; `path` is absolute but for S3's prefix."""

    scheme: Scheme
    host: str
    port: int | None
    path: str
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)

    def display(self) -> str:
        """Return the address as a URL; it never holds an account or a password."""
        if self.scheme == "file":
            return self.path
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port else ""
        query = f"?{urlencode(sorted(self.options.items()), safe='/:')}" if self.options else ""
        return f"{self.scheme}://{host}{port}/{quote(self.path.lstrip('/'))}{query}".rstrip("/")


def _invalid(code: str, message: str, hint: str = _EXAMPLE) -> InvalidInput:
    return InvalidInput(code, message, hint)


def parse_url(url: str) -> tuple[StoreAddress, StoreCredentials]:
    """Read a store's URL; credentials in it are taken out and kept as secrets.

    S3 options: `endpoint=https://…` (none: Amazon's), `region=…`, `addressing=path|virtual`. SFTP
    options: `identity=/path` of the private key, `known_hosts=/path`. Raise InvalidInput, whose
    text holds no part of the URL that could be a password.
    """
    if not url or not url.isprintable() or url != url.strip():
        raise _invalid("store.url.syntax", "The store's URL is empty or holds control characters.")
    if "://" not in url:
        return StoreAddress("file", "", None, _local_path(url)), StoreCredentials()
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _invalid("store.url.syntax", "The store's URL cannot be read.") from None
    scheme = _scheme(parts.scheme)
    if parts.fragment:
        raise _invalid("store.url.syntax", "The store's URL has a fragment (#).")
    credentials = StoreCredentials(
        unquote(parts.username or ""), Secret(unquote(parts.password or ""))
    )
    options = MappingProxyType(_options(scheme, parts.query))
    path = unquote(parts.path)
    if scheme == "file":
        if parts.netloc:
            raise _invalid("store.url.host", "A file URL names no host: file:///srv/store.")
        return StoreAddress(scheme, "", None, _local_path(path)), credentials
    if ".." in PurePosixPath(path).parts:
        raise _invalid("store.url.path", "The path of the store's URL climbs up (..).")
    host = parts.netloc.rpartition("@")[2] if scheme == "s3" else parts.hostname or ""
    if not (_BUCKET if scheme == "s3" else _HOST).fullmatch(host):
        raise _invalid("store.url.host", "The store's URL names no usable host or bucket.")
    if scheme == "s3":
        return StoreAddress(scheme, host, None, path.strip("/"), options), credentials
    if path.strip("/") == "":
        raise _invalid("store.url.path", "The store's URL names no directory on the server.")
    return StoreAddress(scheme, host, port, path.rstrip("/"), options), credentials


def _scheme(word: str) -> Scheme:
    for scheme in _OPTIONS:
        if word == scheme:
            return scheme
    raise _invalid("store.url.scheme", "The store's URL begins with no known scheme.")


def _local_path(text: str) -> str:
    path = PurePosixPath(text)
    if not path.is_absolute() or ".." in path.parts:
        raise _invalid("store.url.path", "A store's directory is an absolute path without `..`.")
    return os.path.normpath(path)


def _options(scheme: Scheme, query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise _invalid(
            "store.url.option", "The options of the store's URL cannot be read."
        ) from None
    options, known = dict(pairs), ", ".join(sorted(_OPTIONS[scheme])) or "none"
    if len(options) != len(pairs) or not _OPTIONS[scheme].issuperset(options):
        raise _invalid(
            "store.url.option",
            "The store's URL has an unknown or repeated option.",
            f"Known are: {known}.",
        )
    unusable = [name for name in _PATHS & set(options) if not options[name].startswith("/")]
    if not _ENDPOINT.fullmatch(options.get("endpoint", "https://s3")):
        unusable.append("endpoint")
    if options.get("addressing", "auto") not in _ADDRESSING:
        unusable.append("addressing")
    if unusable:
        raise _invalid(
            "store.url.option", f"The option {unusable[0]} of the store's URL is unusable."
        )
    return options
