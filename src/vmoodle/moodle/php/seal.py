"""Whether a PHP can seal as Moodle Network needs it: its OpenSSL decides, and OpenSSL 3 says no."""

from __future__ import annotations

import json
from dataclasses import dataclass

from vmoodle.moodle.php.binary import PhpBinary

# What a list of ciphers promises is tried. A wrong key must fail: so Moodle finds its older ones.
_PROBE = """
$made = ['openssl' => extension_loaded('openssl'), 'library' => '',
    'key' => false, 'seals' => false, 'confuses' => false];
if ($made['openssl']) {
    $made['library'] = OPENSSL_VERSION_TEXT;
    [$own, $other] = [openssl_pkey_new(), openssl_pkey_new()];
    $made['key'] = $own !== false && $other !== false;
}
if ($made['key']) {
    $public = openssl_pkey_get_details($own)['key'];
    $sealed = @openssl_seal('probe', $data, $keys, [$public], 'RC4');
    $made['seals'] = $sealed !== false && @openssl_open($data, $text, $keys[0], $own, 'RC4')
        && $text === 'probe';
    for ($try = 0; $made['seals'] && $try < 3; $try++) {
        $opens = @openssl_open($data, $text, $keys[0], $other, 'RC4');
        $made['confuses'] = $made['confuses'] || $opens;
    }
}
echo json_encode($made);
"""


@dataclass(frozen=True)
class SealSupport:
    """What a PHP's OpenSSL can do for Moodle Network.

    `makes_keys`: `openssl_pkey_new` works; a configuration of OpenSSL without sizes prevents it.
    `seals`: RC4 works, without which Moodle neither asks nor answers a sealed call.
    `confuses_keys`: a wrong key opens to random bytes in place of failing (OpenSSL 3.2 and later),
    so that Moodle never tries its older keys, and peers do not learn of a new one by a call.
    """

    library: str
    makes_keys: bool
    seals: bool
    confuses_keys: bool


def seal_support(php: PhpBinary) -> SealSupport:
    """Try out what PHP's command line can seal; raise Unavailable `php.failed` as `PhpBinary.ask`.

    A web server's PHP can differ: what configures OpenSSL is read from the environment that its
    process was started with.
    """
    found = json.loads(php.ask(_PROBE))
    return SealSupport(found["library"], found["key"], found["seals"], found["confuses"])
