"""The two envelopes as documents, signed and sealed (`mnet/lib.php`, Moodle 4.5.5).

Written byte for byte as Moodle writes them. Read more strictly than Moodle reads them: each element
in its place and once, the algorithms by their names, the digest as told. A message with a second
cipher, a second key or anything else inside is no message.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, field

from vmoodle.network.cipher import Sealed
from vmoodle.network.safe_xml import malformed, parse

DSIG = "http://www.w3.org/2000/09/xmldsig#"
ENC = "http://www.w3.org/2001/04/xmlenc#"
C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
KEY_PATH = "/mnet/publickey.php"

_SIGNED = """<?xml version="1.0" encoding="iso-8859-1"?>
    <signedMessage>
        <Signature Id="MoodleSignature" xmlns="{dsig}">
            <SignedInfo>
                <CanonicalizationMethod Algorithm="{c14n}"/>
                <SignatureMethod Algorithm="{dsig}rsa-sha1"/>
                <Reference URI="#XMLRPC-MSG">
                    <DigestMethod Algorithm="{dsig}sha1"/>
                    <DigestValue>{digest}</DigestValue>
                </Reference>
            </SignedInfo>
            <SignatureValue>{signature}</SignatureValue>
            <KeyInfo>
                <RetrievalMethod URI="{wwwroot}{key_path}"/>
            </KeyInfo>
        </Signature>
        <object ID="XMLRPC-MSG">{payload}</object>
        <wwwroot>{wwwroot}</wwwroot>
        <timestamp>{timestamp}</timestamp>
    </signedMessage>"""
_SEALED = """<?xml version="1.0" encoding="iso-8859-1"?>
    <encryptedMessage>
        <EncryptedData Id="ED" xmlns="{enc}">
            <EncryptionMethod Algorithm="{enc}arcfour"/>
            <ds:KeyInfo xmlns:ds="{dsig}">
                <ds:RetrievalMethod URI="#EK" Type="{enc}EncryptedKey"/>
                <ds:KeyName>XMLENC</ds:KeyName>
            </ds:KeyInfo>
            <CipherData>
                <CipherValue>{data}</CipherValue>
            </CipherData>
        </EncryptedData>
        <EncryptedKey Id="EK" xmlns="{enc}">
            <EncryptionMethod Algorithm="{enc}rsa-1_5"/>
            <ds:KeyInfo xmlns:ds="{dsig}">
                <ds:KeyName>SSLKEY</ds:KeyName>
            </ds:KeyInfo>
            <CipherData>
                <CipherValue>{key}</CipherValue>
            </CipherData>
            <ReferenceList>
                <DataReference URI="#ED"/>
            </ReferenceList>
            <CarriedKeyName>XMLENC</CarriedKeyName>
        </EncryptedKey>
        <wwwroot>{wwwroot}</wwwroot>
    </encryptedMessage>"""

# Each element by its path, without the namespaces' prefixes; all of them once, and no other.
_SIGNED_PATHS = frozenset(
    f"signedMessage{path}"
    for path in (
        "", "/Signature", "/Signature/SignedInfo", "/Signature/SignedInfo/CanonicalizationMethod",
        "/Signature/SignedInfo/SignatureMethod", "/Signature/SignedInfo/Reference",
        "/Signature/SignedInfo/Reference/DigestMethod",
        "/Signature/SignedInfo/Reference/DigestValue", "/Signature/SignatureValue",
        "/Signature/KeyInfo", "/Signature/KeyInfo/RetrievalMethod", "/object", "/wwwroot",
        "/timestamp",
    )
)  # fmt: skip
_SEALED_PATHS = frozenset(
    f"encryptedMessage{path}"
    for path in (
        "", "/EncryptedData", "/EncryptedData/EncryptionMethod", "/EncryptedData/KeyInfo",
        "/EncryptedData/KeyInfo/RetrievalMethod", "/EncryptedData/KeyInfo/KeyName",
        "/EncryptedData/CipherData", "/EncryptedData/CipherData/CipherValue", "/EncryptedKey",
        "/EncryptedKey/EncryptionMethod", "/EncryptedKey/KeyInfo", "/EncryptedKey/KeyInfo/KeyName",
        "/EncryptedKey/CipherData", "/EncryptedKey/CipherData/CipherValue",
        "/EncryptedKey/ReferenceList", "/EncryptedKey/ReferenceList/DataReference",
        "/EncryptedKey/CarriedKeyName", "/wwwroot",
    )
)  # fmt: skip
_ALGORITHMS = {
    "signedMessage/Signature/SignedInfo/CanonicalizationMethod": C14N,
    "signedMessage/Signature/SignedInfo/SignatureMethod": f"{DSIG}rsa-sha1",
    "signedMessage/Signature/SignedInfo/Reference/DigestMethod": f"{DSIG}sha1",
    "encryptedMessage/EncryptedData/EncryptionMethod": f"{ENC}arcfour",
    "encryptedMessage/EncryptedKey/EncryptionMethod": f"{ENC}rsa-1_5",
}
_REFERENCES = {
    "signedMessage/Signature/SignedInfo/Reference": "#XMLRPC-MSG",
    "encryptedMessage/EncryptedData/KeyInfo/RetrievalMethod": "#EK",
    "encryptedMessage/EncryptedKey/ReferenceList/DataReference": "#ED",
}
_JUDGED = _ALGORITHMS.keys() | _REFERENCES.keys()
_KEY_ADDRESS = "signedMessage/Signature/KeyInfo/RetrievalMethod"
_LONGEST_TIME = 15


@dataclass(frozen=True)
class SignedMessage:
    """A payload, who says to have signed it, and the signature. Only the payload is signed:
    `wwwroot`, `key_address` and `timestamp` (Unix time) are the sender's word, or anybody's."""

    payload: bytes = field(repr=False)
    signature: bytes
    wwwroot: str
    key_address: str
    timestamp: int


@dataclass(frozen=True)
class SealedMessage:
    """A sealed text and who says to have sealed it, which anybody can."""

    sealed: Sealed
    wwwroot: str


@dataclass(frozen=True)
class PlainMessage:
    """A well-formed document that is neither: a call or an answer in clear, or anything."""

    document: bytes = field(repr=False)
    root: str


Message = SignedMessage | SealedMessage | PlainMessage


def write_signed(payload: bytes, signature: bytes, wwwroot: str, timestamp: int) -> bytes:
    """Return the envelope of a signed payload."""
    return _SIGNED.format(
        dsig=DSIG,
        c14n=C14N,
        digest=_digest(payload),
        signature=base64.b64encode(signature).decode("ascii"),
        key_path=KEY_PATH,
        payload=base64.b64encode(payload).decode("ascii"),
        wwwroot=wwwroot,
        timestamp=timestamp,
    ).encode("ascii")


def write_sealed(sealed: Sealed, wwwroot: str) -> bytes:
    """Return the envelope of a sealed text."""
    return _SEALED.format(
        enc=ENC,
        dsig=DSIG,
        data=base64.b64encode(sealed.data).decode("ascii"),
        key=base64.b64encode(sealed.key).decode("ascii"),
        wwwroot=wwwroot,
    ).encode("ascii")


def read_message(document: bytes) -> Message:
    """Return what a document is, its form checked and nothing believed.

    Raise Refused `network.message.form` for what is not well-formed, declares a document type or
    is an envelope with something missing, repeated, added or of another algorithm; Refused
    `network.message.large` for more than is taken.
    """
    reader = _Reader()
    parse(document, reader)
    if reader.root == "signedMessage":
        return _signed(reader)
    if reader.root == "encryptedMessage":
        return _sealed(reader)
    return PlainMessage(document, reader.root)


def _signed(reader: _Reader) -> SignedMessage:
    reader.require_all(_SIGNED_PATHS)
    timestamp = reader.text("signedMessage/timestamp")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _LONGEST_TIME):
        raise malformed("its time is no number of seconds")
    payload = _bytes(reader.text("signedMessage/object"))
    if reader.text("signedMessage/Signature/SignedInfo/Reference/DigestValue") != _digest(payload):
        raise malformed("its digest is not that of its content")
    return SignedMessage(
        payload,
        _bytes(reader.text("signedMessage/Signature/SignatureValue")),
        reader.text("signedMessage/wwwroot"),
        reader.addresses.get(_KEY_ADDRESS, ""),
        int(timestamp),
    )


def _sealed(reader: _Reader) -> SealedMessage:
    reader.require_all(_SEALED_PATHS)
    return SealedMessage(
        Sealed(
            _bytes(reader.text("encryptedMessage/EncryptedData/CipherData/CipherValue")),
            _bytes(reader.text("encryptedMessage/EncryptedKey/CipherData/CipherValue")),
        ),
        reader.text("encryptedMessage/wwwroot"),
    )


class _Reader:
    """Collect the texts of an envelope by their paths; of any other document only its root."""

    def __init__(self) -> None:
        self.root = ""
        self.addresses: dict[str, str] = {}
        self._path = ""
        self._texts: dict[str, list[str]] = {}
        self._heard: list[str] | None = None
        self._allowed: frozenset[str] | None = None

    def xml(self, encoding: str | None, standalone: object) -> None:
        """Hear nothing: the encoding was judged."""

    def start(self, tag: str, attrs: dict[str, str]) -> None:
        name = tag.rpartition(":")[2] if ":" in tag else tag
        if not self.root:
            self.root = name
            self._allowed = {"signedMessage": _SIGNED_PATHS, "encryptedMessage": _SEALED_PATHS}.get(
                name
            )
        if self._allowed is None:
            return
        self._path = path = f"{self._path}/{name}" if self._path else name
        if path not in self._allowed:
            raise ValueError(f"its envelope has {name[:30]!r} where nothing such belongs")
        if path in self._texts:
            raise ValueError(f"its envelope has {name!r} twice")
        self._texts[path] = self._heard = []
        if attrs or path in _JUDGED:
            self._judge(path, attrs)

    def _judge(self, path: str, attrs: dict[str, str]) -> None:
        address = attrs.get("URI", "")
        if attrs.get("Algorithm", "") != _ALGORITHMS.get(path, ""):
            raise ValueError("its envelope names another algorithm than Moodle's")
        if path in _REFERENCES and address != _REFERENCES[path]:
            raise ValueError("its envelope refers to something else than its own parts")
        self.addresses[path] = address

    def data(self, text: str) -> None:
        if self._heard is not None:
            self._heard.append(text)

    def end(self, _tag: str) -> None:
        self._path = self._path.rpartition("/")[0]
        # What stands behind an element is white space, or belongs nowhere.
        self._heard = None

    def text(self, path: str) -> str:
        """Return the text of an element, without white space at its ends."""
        return "".join(self._texts[path]).strip()

    def require_all(self, paths: frozenset[str]) -> None:
        missing = paths - self._texts.keys()
        if missing:
            name = min(missing).rpartition("/")[2]
            raise malformed(f"its envelope has no {name!r}")


def _bytes(text: str) -> bytes:
    try:
        try:
            return binascii.a2b_base64(text, strict_mode=True)
        except binascii.Error:
            # In lines, which Moodle writes nowhere.
            return binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except ValueError as error:
        raise malformed("a part of its envelope is no Base64") from error


def _digest(payload: bytes) -> str:
    # Moodle writes it and reads it nowhere; it protects nothing.
    return hashlib.sha1(payload, usedforsecurity=False).hexdigest()
