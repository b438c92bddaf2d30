"""Faults of Moodle Network: the numbers Moodle answers with, and the errors they become here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from vmoodle.errors import Conflict, NotFound, Refused, Unavailable, VMoodleError


class FaultCode(IntEnum):
    """The numbers of `mnet/xmlrpc/server.php` and `serverlib.php` (Moodle 3.6 to 5.1).

    Those below 100, but 0, are of phpxmlrpc, which Moodle uses since 4.1.
    """

    OTHER = 0
    LIBRARY_REQUEST = 15
    LIBRARY_FAILED = 17
    DISPATCHER_OFF = 704
    NO_FILE = 705
    NO_FUNCTION = 706
    NOT_PUBLISHED = 707
    NO_CLASS = 708
    CLASS_FAILED = 709
    WRONG_SIGNATURE = 710
    UNSIGNED = 711
    ENVIRONMENT = 712
    METHOD_NAME = 713
    UNKNOWN = 7000
    NO_METHOD = 7012
    LEGACY_HOST = 7017
    NO_SYSTEM_METHOD = 7018
    NOT_IMPLEMENTED = 7019
    UNKNOWN_PEER = 7020
    NOT_ENCRYPTED = 7021
    LEGACY_SIGNATURE = 7022
    UNOPENED = 7023
    LEGACY_ADDRESS = 7024
    OLD_KEY = 7025
    LEGACY_KEY = 7026


@dataclass(frozen=True)
class Fault:
    """A fault as it stands in an answer. `text` is the peer's; 7025 has its certificate there."""

    number: int
    text: str


class FaultAnswer(Exception):
    """Raised by a method of ours: the caller gets this fault as its answer."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.fault = Fault(number, text)


class PeerFault(VMoodleError):
    """A peer answered a call with a fault.

    `number` is Moodle's. `authenticated` tells whether the peer signed it: one in clear may have
    been written by anybody on the way.
    """

    def __init__(self, fault: Fault, peer: str, *, authenticated: bool) -> None:
        kind, code, what, hint = _MEANINGS.get(fault.number, _OF_A_SERVICE)
        said = " ".join(fault.text.split())[:_LONGEST_TEXT]
        also = f' It says: "{said}".' if said and fault.number != FaultCode.OLD_KEY else ""
        super().__init__(code, f"{peer} {what} (fault {fault.number}).{also}", hint)
        # The class of the fault decides how the program ends, as with any other error.
        self.exit_status = kind.exit_status  # type: ignore[misc]
        self.http_status = kind.http_status  # type: ignore[misc]
        self.kind = kind.kind  # type: ignore[misc]
        self.number = fault.number
        self.authenticated = authenticated


_LONGEST_TEXT = 200
_Meaning = tuple[type[VMoodleError], str, str, str]

_OF_A_SERVICE: _Meaning = (
    Refused, "network.fault.service", "refused the call in its own code",
    "The number is the service's own: see the plugin that publishes it on the peer.",
)  # fmt: skip
_STRANGER: _Meaning = (
    NotFound, "network.fault.stranger", "does not know us as a peer",
    "Bind the two sites to one network; the peer must know exactly our wwwroot, scheme included.",
)  # fmt: skip
_UNOPENED: _Meaning = (
    Conflict, "network.fault.unopened", "could not open the message",
    "Fetch its certificate anew. Where that does not help, PHP's OpenSSL there cannot do RC4.",
)  # fmt: skip
_SIGNATURE: _Meaning = (
    Conflict, "network.fault.signature", "did not find our signature right",
    "It holds an old certificate of ours and could not fetch the new one: bind the pair again.",
)  # fmt: skip
_NO_METHOD: _Meaning = (
    Refused, "network.fault.method", "has no such method for us",
    "Publish the method's service to this peer there, or ask for a method that it lists.",
)  # fmt: skip
_NO_CODE: _Meaning = (
    Unavailable, "network.fault.code", "advertises a method whose code it does not have",
    "Moodle 5.0 and later advertise services whose plugins left them; those rows are stale.",
)  # fmt: skip
_PLAINTEXT: _Meaning = (
    Refused, "network.fault.plaintext", "takes no message that is not encrypted",
    "Encrypt the call, or name our address among the trusted hosts of its mnet settings.",
)  # fmt: skip
_BROKEN: _Meaning = (
    Unavailable, "network.fault.peer", "failed without a reason",
    "See the error log of the peer's PHP.",
)  # fmt: skip

_MEANINGS: dict[int, _Meaning] = {
    FaultCode.OTHER: _BROKEN,
    FaultCode.LIBRARY_REQUEST: _BROKEN,
    FaultCode.LIBRARY_FAILED: _BROKEN,
    FaultCode.DISPATCHER_OFF: (
        Unavailable, "network.fault.off", "has Moodle Network switched off",
        "Switch networking on there (mnet_dispatcher_mode).",
    ),
    FaultCode.NO_FILE: _NO_CODE,
    FaultCode.NO_FUNCTION: _NO_CODE,
    FaultCode.NOT_PUBLISHED: (
        Refused, "network.fault.unpublished", "does not publish the service to us",
        "Publish it to this peer there.",
    ),
    FaultCode.NO_CLASS: _NO_CODE,
    FaultCode.CLASS_FAILED: _NO_CODE,
    FaultCode.WRONG_SIGNATURE: _SIGNATURE,
    FaultCode.UNSIGNED: _SIGNATURE,
    FaultCode.ENVIRONMENT: _BROKEN,
    FaultCode.METHOD_NAME: _NO_METHOD,
    FaultCode.UNKNOWN: _BROKEN,
    FaultCode.NO_METHOD: _NO_METHOD,
    FaultCode.LEGACY_HOST: _STRANGER,
    FaultCode.NO_SYSTEM_METHOD: _NO_METHOD,
    FaultCode.NOT_IMPLEMENTED: _NO_METHOD,
    FaultCode.UNKNOWN_PEER: _STRANGER,
    FaultCode.NOT_ENCRYPTED: _PLAINTEXT,
    FaultCode.LEGACY_SIGNATURE: _SIGNATURE,
    FaultCode.UNOPENED: _UNOPENED,
    FaultCode.LEGACY_ADDRESS: _STRANGER,
    FaultCode.OLD_KEY: (
        Conflict, "network.fault.key", "changes its key faster than calls can follow",
        "Call again; should it persist, two sites answer by this wwwroot.",
    ),
    FaultCode.LEGACY_KEY: _SIGNATURE,
}  # fmt: skip
