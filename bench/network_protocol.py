"""A call of Moodle Network of 10 KB, signed, sealed, opened and verified, beside RSA alone.

Beside it stands what `openssl` takes for the two uses of a private key that are in it, the
signature and the opening, which no other program can leave out. Both are processor time, and the
best of several rounds in turn: other work on the machine slows what uses memory more than what
counts in registers. Limits: 5 ms, and twice `openssl`.
"""

from __future__ import annotations

import subprocess
import time
from datetime import UTC, datetime
from statistics import median

from vmoodle.network.cipher import unseal
from vmoodle.network.envelope import SealedMessage, SignedMessage, read_message
from vmoodle.network.keys import KeyPair, Subject
from vmoodle.network.protocol import is_signed_by, seal_to, sign
from vmoodle.network.xml_rpc import read_call, write_call

ROUNDS, BATCHES, CALLS = 3, 40, 20
CALLER, CALLED = "https://caller.example.test", "https://called.example.test"
METHOD = "auth/mnet/auth.php/update_enrolments"
LIMIT_MILLISECONDS, LIMIT_RATIO = 5.0, 2.0


def exchange(payload: bytes, caller: KeyPair, called: KeyPair, now: datetime) -> bytes:
    """Carry a payload from one to the other, and return what is taken there."""
    document = seal_to(sign(payload, CALLER, caller, now), CALLER, called.certificate)
    outer = read_message(document)
    assert isinstance(outer, SealedMessage)
    inner = read_message(unseal(outer.sealed, [called]).text)
    assert isinstance(inner, SignedMessage)
    assert is_signed_by(inner, caller.certificate)
    return inner.payload


def openssl_milliseconds() -> float:
    """Return the processor time that `openssl` takes for one use of a private key."""
    told = subprocess.run(
        ["openssl", "speed", "-mr", "-seconds", "1", "rsa2048"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    # `+F2:index:bits:seconds for a signature:seconds for a verification`, or how many a second.
    line = next(line for line in told.splitlines() if line.startswith("+F2:"))
    figure = float(line.split(":")[3])
    return (figure if figure < 1 else 1 / figure) * 1000


def main() -> None:
    """Print the figures."""
    now = datetime.now(UTC)
    caller, called = (
        KeyPair.make(Subject(wwwroot, "Bench", "bench@example.test"), now=now)
        for wwwroot in (CALLER, CALLED)
    )
    payload = write_call(METHOD, ["x" * 10_000])
    assert read_call(exchange(payload, caller, called, now)).params == ("x" * 10_000,)
    ours, alone = [], []
    for _round in range(ROUNDS):
        for _batch in range(BATCHES):
            began = time.process_time()
            for _call in range(CALLS):
                exchange(payload, caller, called, now)
            ours.append((time.process_time() - began) / CALLS * 1000)
        alone.append(2 * openssl_milliseconds())
    print(
        f"a call of 10 KB {min(ours):6.2f} ms (median {median(ours):.2f})   "
        f"openssl's private keys {min(alone):6.2f} ms   "
        f"ratio {min(ours) / min(alone):4.2f}   limits {LIMIT_MILLISECONDS:.0f} ms, "
        f"{LIMIT_RATIO:.0f}"
    )


if __name__ == "__main__":
    main()
