"""Places for stores in tests: a directory, a private S3 server (moto), a private SSH server."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import count
from pathlib import Path

import servers

_numbers = count(1)
SECRET = "s3cr3t-never-shown"


@dataclass(frozen=True)
class Ground:
    """Say where new stores can be made: a URL with room for one more folder, and a query."""

    kind: str
    base: str
    query: str = ""

    def url(self) -> str:
        """Return the URL of a store that no other test has."""
        return f"{self.base}/store{os.getpid()}-{next(_numbers)}{self.query}"


@contextmanager
def s3(directory: Path) -> Iterator[Ground]:
    """Run moto's S3 server with one bucket; it takes any login."""
    port = servers.free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _running(command, directory / "moto.log", port):
        endpoint = f"http://127.0.0.1:{port}"
        connection = HTTPConnection("127.0.0.1", port)
        connection.request("PUT", "/fleet", headers={"Authorization": _SIGNED})
        assert connection.getresponse().status == 200
        connection.close()
        yield Ground("s3", f"s3://fleet-key:{SECRET}@fleet", f"?endpoint={endpoint}")


_SIGNED = (
    "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=x"
)


def sshd_missing() -> str:
    """Return why no private SSH server can run here, empty when one can."""
    return "" if _sshd() else "not installed: openssh-server"


def _sshd() -> str | None:
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@contextmanager
def sftp(directory: Path) -> Iterator[Ground]:
    """Run an sshd with keys and configuration of its own, for this account and SFTP only."""
    program = _sshd()
    assert program is not None
    directory.mkdir(mode=0o700)
    for name in ("host", "client", "stranger"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)]
        subprocess.run(words, check=True)
    port, user = servers.free_port(), pwd.getpwuid(os.geteuid()).pw_name
    shutil.copyfile(directory / "client.pub", directory / "authorized")
    host_key = " ".join((directory / "host.pub").read_text().split()[:2])
    (directory / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    (directory / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {directory / 'host'}\n"
        f"PidFile {directory / 'pid'}\nAuthorizedKeysFile {directory / 'authorized'}\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\n"
        "PermitRootLogin prohibit-password\nMaxSessions 50\nMaxStartups 50\n"
        f"Subsystem sftp internal-sftp\nForceCommand internal-sftp\nAllowUsers {user}\n"
    )
    if os.geteuid() == 0:
        # Debian's service makes it at start; this server is no service.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    command = [program, "-D", "-e", "-f", str(directory / "sshd_config")]
    with _running(command, directory / "sshd.log", port):
        yield Ground(
            "sftp",
            f"sftp://{user}@127.0.0.1:{port}{directory}",
            f"?identity={directory / 'client'}&known_hosts={directory / 'known_hosts'}",
        )


@contextmanager
def _running(command: Sequence[str], log: Path, port: int) -> Iterator[None]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        servers.wait_until(answers, f"start of {command[0]}")
        yield
    finally:
        process.terminate()
        process.wait()
