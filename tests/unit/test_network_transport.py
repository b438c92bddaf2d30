"""The way to a peer over real sockets: time, size, redirects, TLS, and where it may lead."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.network_peers import ECHO, book, client, identity, pair, peer, server, web_server

from vmoodle.errors import VMoodleError
from vmoodle.network import transport as transport_module
from vmoodle.network.transport import HttpTransport, dial_any, dial_at, dial_public
from vmoodle.network.wsgi import NetworkApplication

PATH = "/mnet/xmlrpc/server.php"


@contextmanager
def raw(answer: Callable[[socket.socket], None]) -> Iterator[tuple[str, int]]:
    """Serve connections by a function of the socket."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _address = listening.accept()
                except OSError:
                    return
                with connection:
                    try:
                        answer(connection)
                    except OSError:
                        continue

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()


def saying(text: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        # With a byte unread the kernel would close by a reset, and the answer be lost.
        while not (asked := connection.recv(65536)).endswith(b"<a/>") and asked:
            pass
        connection.sendall(text)

    return answer


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(VMoodleError) as raised:
        act()
    return raised.value.code


def post(
    address: tuple[str, int], wwwroot: str = "http://away.example.test", **options: object
) -> bytes:
    transport = HttpTransport(dial_at(address), **options)  # type: ignore[arg-type]
    return transport.post(wwwroot, PATH, b"<a/>", "text/xml")


def test_the_host_is_told_as_the_wwwroot_has_it() -> None:
    seen: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        seen.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with raw(answer) as address:
        assert post(address, "http://away.example.test:8080/moodle") == b"ok"
    head = seen[0].decode()
    assert head.startswith(f"POST /moodle{PATH} HTTP/1.1\r\n")
    assert head.count("Host: ") == 1
    assert "Host: away.example.test:8080\r\n" in head


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"", "network.unreachable"), (b"noise\r\n\r\n", "network.unreachable"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "network.status"),
        (b"HTTP/1.1 303 See Other\r\nLocation: http://evil.test/\r\n\r\n", "network.moved"),
        (b"HTTP/1.1 307 x\r\nLocation: /other\r\n\r\n", "network.moved"),
        (b"HTTP/1.1 302 x\r\n\r\n", "network.status"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", "network.unreachable"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 101, "network.message.large"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000, "network.unreachable"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "network.unreachable"),
    ],
)  # fmt: skip
def test_what_is_no_answer_has_a_code(said: bytes, code: str) -> None:
    with raw(saying(said)) as address:
        assert code_of(lambda: post(address, most_bytes=100)) == code


def test_a_peer_that_drips_is_cut_off_in_time() -> None:
    def drip(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"A: b\r\n")
            threading.Event().wait(0.05)

    def hold(connection: socket.socket) -> None:
        threading.Event().wait(5)

    for behaviour in (drip, hold):
        with raw(behaviour) as address:
            began = time.monotonic()
            assert code_of(lambda address=address: post(address, timeout=0.5)) == (
                "network.unreachable"
            )
            assert time.monotonic() - began < 3


def test_a_port_where_nobody_listens_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = closed.getsockname()
    assert code_of(lambda: post(address)) == "network.unreachable"


def test_a_host_that_does_not_exist_is_unreachable() -> None:
    for host in ("nowhere.invalid", f"{'x' * 70}.example.test"):
        act = partial(HttpTransport(dial_any).post, f"http://{host}", PATH, b"", "text/xml")
        assert code_of(act) == "network.unreachable"


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "::1",  # noqa: S104
     "224.0.0.1", "fe80::1%lo", "fd00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
     "255.255.255.255", "::"],
)  # fmt: skip
def test_a_name_that_leads_inside_is_not_followed(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.33.8", 80)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)),
    ]
    monkeypatch.setattr(transport_module.socket, "getaddrinfo", lambda *_a, **_k: found)
    assert code_of(lambda: dial_public("peer.example.test", 80, 1.0)) == "network.address"
    own = HttpTransport()
    assert code_of(lambda: own.post("http://peer.example.test", PATH, b"", "x")) == (
        "network.address"
    )


# TLS.


def tls_files(directory: Path, name: str, days: int = 1) -> tuple[Path, ssl.SSLContext]:
    """Make a certificate of a host, and the server's context; the certificate is its own CA."""
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    held = directory / f"{name}{days}.pem"
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    held.write_bytes(made.public_bytes(Encoding.PEM) + plain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(held)
    return held, context


@pytest.mark.parametrize(
    ("name", "days", "known", "code"),
    [("away.example.test", 1, True, ""), ("away.example.test", 1, False, "network.tls"),
     ("other.example.test", 1, True, "network.tls"),
     ("away.example.test", -1, True, "network.tls")],
)  # fmt: skip
def test_the_hosts_certificate_is_verified(
    tmp_path: Path, name: str, days: int, known: bool, code: str
) -> None:
    held, context = tls_files(tmp_path, name, days)

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")(secured)

    trust = ssl.create_default_context(cafile=str(held) if known else None)
    with raw(answer) as address:

        def act() -> bytes:
            return post(address, "https://away.example.test", context=trust, timeout=10.0)

        if code:
            assert code_of(act) == code
        else:
            assert act() == b"ok"


def test_a_server_that_speaks_no_tls_is_told_apart() -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with raw(answer) as address:
        assert code_of(lambda: post(address, "https://away.example.test")) == "network.tls"


# The server behind WSGI.


@pytest.fixture
def served() -> Iterator[tuple[str, int]]:
    with web_server() as web:
        own = server(identity(web.url), book(peer("https://home.example.test")))
        web.set_app(NetworkApplication(own, "A <name> & more"))
        yield "127.0.0.1", web.server_port


def request(address: tuple[str, int], text: bytes) -> bytes:
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_peer_is_asked_over_http(served: tuple[str, int]) -> None:
    away = f"http://127.0.0.1:{served[1]}"
    own = client(identity("https://home.example.test"), HttpTransport(dial_any))  # type: ignore[arg-type]
    assert own.keyswap(away) == pair(away).certificate
    assert own.call(peer(away), ECHO, ["x" * 100_000]).value == ["x" * 100_000]


def test_a_peer_shows_its_name_and_its_certificate(served: tuple[str, int]) -> None:
    page = request(served, b"GET / HTTP/1.0\r\n\r\n")
    assert b"<title>A &lt;name&gt; &amp; more</title>" in page
    shown = request(served, b"GET /mnet/publickey.php HTTP/1.0\r\n\r\n")
    assert shown.endswith(pair(f"http://127.0.0.1:{served[1]}").certificate.pem.encode())


@pytest.mark.parametrize(
    ("head", "status"),
    [("POST /mnet/xmlrpc/server.php", b"411"), ("POST /other", b"404"), ("GET /mnet/x", b"404"),
     ("POST /mnet/xmlrpc/server.php|Content-Length: 8000001", b"413"),
     ("POST /mnet/xmlrpc/server.php|Content-Length: -1", b"411"),
     ("POST /mnet/xmlrpc/server.php|Content-Length: " + "9" * 30, b"413"),
     ("PUT /mnet/xmlrpc/server.php", b"404")],
)  # fmt: skip
def test_anything_else_is_not_answered(served: tuple[str, int], head: str, status: bytes) -> None:
    line, _separator, header = head.partition("|")
    text = f"{line} HTTP/1.0\r\n{header + chr(13) + chr(10) if header else ''}\r\n"
    assert request(served, text.encode()).split()[1] == status
