"""Hash passwords as Moodle stores them in `user.password`, by asking PHP."""

from __future__ import annotations

from vmoodle.errors import InvalidInput
from vmoodle.moodle.php.binary import PhpBinary
from vmoodle.secret import Secret

# SHA-512 crypt with 10,000 rounds is what Moodle writes since 4.3; every Moodle since 2.5 checks
# with password_verify, which takes it too (hash_internal_user_password, lib/moodlelib.php).
_HASH = """
$password = stream_get_contents(STDIN);
$salt = substr(strtr(base64_encode(random_bytes(16)), '+=', './'), 0, 16);
$hash = crypt($password, '$6$rounds=10000$' . $salt . '$');
password_verify($password, $hash) || exit(1);
echo $hash;
"""


def hash_password(php: PhpBinary, password: Secret) -> str:
    """Return a hash that Moodle accepts; the password goes to PHP by its standard input.

    Raise InvalidInput `password.unusable` for an empty one or one with a NUL or a line break in
    it, Unavailable when PHP fails.
    """
    text = password.reveal()
    if not text or any(character in text for character in "\0\r\n"):
        raise InvalidInput(
            "password.unusable",
            "The password is empty or has a line break in it.",
            "Give one line of text.",
        )
    return php.ask(_HASH, given=text.encode()).decode("ascii")
