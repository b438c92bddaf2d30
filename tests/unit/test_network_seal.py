"""What PHP's OpenSSL can seal: tried out, with the configuration that the documentation shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmoodle.moodle.php.binary import PhpBinary, find_php
from vmoodle.moodle.php.seal import SealSupport, seal_support

PAGE = Path(__file__).parent.parent.parent / "docs" / "explanation" / "moodle-network.md"
CONFIGURATION = PAGE.read_text().split("```ini\n")[1].split("```")[0]


def support(
    monkeypatch: pytest.MonkeyPatch, directory: Path, configuration: str | None
) -> SealSupport:
    if configuration is None:
        monkeypatch.delenv("OPENSSL_CONF", raising=False)
    else:
        file = directory / "openssl.cnf"
        file.write_text(configuration)
        monkeypatch.setenv("OPENSSL_CONF", str(file))
    found = seal_support(PhpBinary(find_php()))
    if not found.library.startswith("OpenSSL 3"):
        pytest.skip(f"PHP has {found.library}, no OpenSSL 3")
    return found


def test_openssl_3_seals_nothing_by_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = support(monkeypatch, tmp_path, None)
    assert (found.makes_keys, found.seals, found.confuses_keys) == (True, False, False)


def test_the_configuration_of_the_documentation_brings_rc4_and_keeps_keys(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = support(monkeypatch, tmp_path, CONFIGURATION)
    assert (found.makes_keys, found.seals) == (True, True)


def test_a_configuration_without_sizes_makes_no_keys(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shortened = CONFIGURATION.split("[req]")[0] + "[req]\n"
    found = support(monkeypatch, tmp_path, shortened)
    assert (found.makes_keys, found.seals) == (False, False)
