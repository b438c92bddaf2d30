"""The names under which Moodle and plugins keep secrets: of settings, columns and options.

What is hidden, masked, left out of a copy or taken from a template goes by this one place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

SECRET_NAMES = (
    "*password", "*passwd", "*pwd", "*_pass", "*dbpass", "*hostpass", "*bind_pw", "*bindpw",
    "*passphrase", "*secretphrase", "*credential", "*credentials", "*secret", "*token",
    "*secretkey", "*secret_key", "*apikey", "*api_key", "*accesskey", "*access_key",
    "*privatekey", "*private_key", "*licensekey", "*license_key", "*licencekey", "*licence_key",
    "*subscriptionkey", "*subscription_key", "*encryptionkey", "*encryption_key", "*jwtkey",
    "*jwt_key", "*sharedkey", "*shared_key", "*signingkey", "*signing_key", "*authkey",
    "*auth_key", "*serverkey", "*server_key", "*hmackey", "*hmac_key", "key",
)  # fmt: skip
"""Names under which also a plugin nobody listed keeps a secret; `*` is any text.

Flags (`requirepassword`) have 0 or 1, and field_* map profile fields of authentication plugins.
"""

# Secrets too, which a template gets anew or keeps: the identity table has them by name.
_MADE_ANEW = ("*pass", "openssl*", "*salt")
# Named as secrets are, and none: Moodle's own, and what is made to be shown.
_NO_SECRETS = (
    "openssl_generations", "fieldpass", "field_*", "requestaccesskey", "requirepassword",
    "*changepassword", "*bypass", "*publickey", "*public_key",
)  # fmt: skip
# Counts, and whether a password is asked for at all.
_NO_SECRET_COLUMNS = frozenset({"gradepass", "usepassword", "completiontoken", "prompttokens"})
# Of a column or an option of code that nobody has looked at less is enough.
_SOUNDS = re.compile(
    r"secret|passw|pass$|passphrase|tokens?$|api_?key|access_?key|private_?key|salt$"
    r"|consumerkey|enrolmentkey"
)
_COLUMN = re.compile(r"clientid")
# As admin/cli/install.php's --dbpass and --upgradekey, 4.5 and 5.1.
_OPTION = re.compile(r"pass|token|pwd|pw$|key$")


def is_secret_name(name: str, listed: Iterable[str] = ()) -> bool:
    """Tell whether a setting of that name is a secret; `listed` are more names of secrets."""
    name = name.lower()
    return _is_one(name, (*SECRET_NAMES, *_MADE_ANEW, *listed)) and not _is_one(name, _NO_SECRETS)


def is_secret_column(name: str) -> bool:
    """Tell whether a column of an unknown plugin sounds like one that holds secrets."""
    if name in _NO_SECRET_COLUMNS:
        return False
    # Of the columns `key` many are what rows are found by.
    known = name != "key" and is_secret_name(name)
    return known or bool(_SOUNDS.search(name) or _COLUMN.search(name))


def is_secret_option(name: str) -> bool:
    """Tell whether an option of a script sounds like one that takes a secret: `--admin-pass`."""
    word = name.lstrip("-").replace("-", "_").lower()
    return is_secret_name(word) or bool(_SOUNDS.search(word) or _OPTION.search(word))


def _is_one(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
