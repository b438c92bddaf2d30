"""The values of a new identity: who a copy becomes, and what Moodle would have made for it."""

from __future__ import annotations

import secrets
import string
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from vmoodle.errors import InvalidInput
from vmoodle.moodle.identity.sha512_crypt import new_salt, sha512_crypt
from vmoodle.secret import Secret

_LETTERS = string.ascii_letters + string.digits
_KEYS = 2
# The default of auth_shibboleth/auth_instructions (auth/shibboleth/lang/en, 3.6 to 5.1).
_SHIBBOLETH = (
    'Use the <a href="{}/auth/shibboleth/index.php">Shibboleth login</a> to get access via'
    " Shibboleth, if your institution supports it. Otherwise, use the normal login form shown here."
)


@dataclass(frozen=True)
class NewIdentity:
    """Say who a copy becomes.

    Without `admin_password` the administrator's account stays as it is, without `summary` the
    description. `old_wwwroot` is the address of the original; without it the one the copy itself
    knows, if any. `lti_keys` are keys made beforehand by `new_keys`, to save the time.
    """

    wwwroot: str
    name: str
    shortname: str
    dataroot: str
    summary: str | None = None
    admin_user: str = "admin"
    admin_email: str | None = None
    admin_password: Secret | None = None
    old_wwwroot: str | None = None
    lti_keys: tuple[Secret, ...] = ()

    @property
    def host(self) -> str:
        """Return the host of the address, without a port, as get_host_from_url() has it."""
        return urlsplit(self.wwwroot).hostname or ""


@dataclass
class Fresh:
    """Hold what makers need besides the identity itself; each key is given out once."""

    identity: NewIdentity
    old_wwwroot: str
    password_hash: str
    keys: list[str] = field(default_factory=list)


Make = Callable[[Fresh, str], str | None]
"""Return the new value in place of the old one, or None to leave that as it is."""


def random_string(length: int) -> str:
    """Return random letters and digits, as Moodle's random_string() (lib/moodlelib.php)."""
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def new_keys(count: int = _KEYS) -> tuple[Secret, ...]:
    """Return RSA private keys (2048 bits, PKCS#8 PEM) as mod_lti and enrol_lti make them."""
    with ThreadPoolExecutor(count) as pool:
        return tuple(pool.map(lambda _number: _new_key(), range(count)))


def keys_of(identity: NewIdentity) -> tuple[Secret, ...]:
    """Return the keys made beforehand, or new ones where those are too few."""
    return identity.lti_keys if len(identity.lti_keys) >= _KEYS else new_keys()


def password_hash(password: Secret) -> str:
    """Return what `user.password` is; raise InvalidInput `password.unusable`.

    It is SHA-512 crypt with 10,000 rounds, what Moodle writes since 4.3; each since 2.5 checks with
    password_verify(), which takes it too (hash_internal_user_password(), lib/moodlelib.php).
    """
    text = password.reveal()
    if not text or any(character in text for character in "\0\r\n"):
        raise InvalidInput(
            "password.unusable",
            "The password is empty or has a line break in it.",
            "Give one line of text.",
        )
    return sha512_crypt(text, new_salt())


def _new_key() -> Secret:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Secret(pem.decode("ascii"))


def _noreply(fresh: Fresh, old: str) -> str | None:
    return f"noreply@{fresh.identity.host}" if _is_of_the_original(fresh, old) else None


def _host(fresh: Fresh, old: str) -> str | None:
    return fresh.identity.host if _is_of_the_original(fresh, old) else None


def _is_of_the_original(fresh: Fresh, value: str) -> bool:
    """Tell whether a host or address is empty, or made of the original's host."""
    host = urlsplit(fresh.old_wwwroot).hostname
    return not value or (host is not None and value.rpartition("@")[2].lower() == host)


def _geoip2file(fresh: Fresh, old: str) -> str:
    name = PurePosixPath(old).name or "GeoIP-City.mmdb"
    return f"{fresh.identity.dataroot.rstrip('/')}/geoip/{name}"


def _shibboleth(fresh: Fresh, old: str) -> str | None:
    if not old:
        return _SHIBBOLETH.format(fresh.identity.wwwroot)
    if fresh.old_wwwroot and fresh.old_wwwroot in old:
        return old.replace(fresh.old_wwwroot, fresh.identity.wwwroot)
    return None


def _key(fresh: Fresh, _old: str) -> str:
    return fresh.keys.pop()


MAKERS: Mapping[str, Make] = {
    # lib/db/install.php: random_string(32) and the host
    "siteidentifier": lambda fresh, _old: random_string(32) + fresh.identity.host,
    # admin/settings/appearance.php
    "salt": lambda _fresh, _old: random_string(60),
    # admin/settings/badges.php has 'badges' and the time; siblings of one second must differ
    "badge_salt": lambda _fresh, _old: f"badges{int(time.time())}{random_string(16)}",
    # mod/lti/upgradelib.php, enrol/lti/upgradelib.php
    "kid": lambda _fresh, _old: secrets.token_hex(10),
    "rsa_key": _key,
    "noreply": _noreply,
    "host": _host,
    "geoip2file": _geoip2file,
    "shibboleth": _shibboleth,
    "wwwroot": lambda fresh, _old: fresh.identity.wwwroot,
    "name": lambda fresh, _old: fresh.identity.name,
    "shortname": lambda fresh, _old: fresh.identity.shortname,
    "summary": lambda fresh, _old: fresh.identity.summary,
    "admin_user": lambda fresh, _old: fresh.identity.admin_user,
    "admin_email": lambda fresh, _old: fresh.identity.admin_email,
    "admin_password": lambda fresh, _old: fresh.password_hash,
}
"""How each kind of value that the identity table names is made."""
