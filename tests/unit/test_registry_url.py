"""registry.url: all of it reaches libpq, or it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmoodle.errors import InvalidInput
from vmoodle.registry.django_setup import configuration
from vmoodle.secret import Secret

PASSWORD = "s3cr3t-of-the-registry"
URL = f"postgresql://vmoodle:{PASSWORD}@db.example.org:5433/vmoodle"


def database(url: str) -> dict[str, object]:
    found: dict[str, object] = configuration(Path("unused"), Secret(url))["DATABASES"]["default"]
    return found


def test_tls_options_are_handed_to_libpq() -> None:
    found = database(f"{URL}?sslmode=verify-full&sslrootcert=%2Fetc%2Fssl%2Four%20ca.pem")
    assert found["OPTIONS"] == {
        "connect_timeout": 5,
        "sslmode": "verify-full",
        "sslrootcert": "/etc/ssl/our ca.pem",
    }
    assert (found["HOST"], found["PORT"], found["PASSWORD"]) == (
        "db.example.org",
        "5433",
        PASSWORD,
    )


def test_a_socket_may_be_an_option() -> None:
    found = database("postgresql://vmoodle@/vmoodle?host=%2Frun%2Fpostgresql&port=5434")
    assert (found["HOST"], found["PORT"]) == ("/run/postgresql", "5434")
    assert found["OPTIONS"] == {"connect_timeout": 5}


@pytest.mark.parametrize(
    "url",
    [
        f"{URL}?sslmod=require",
        f"{URL}?sslmode=require&sslmode=disable",
        f"{URL}?sslmode",
        f"postgresql://vmoodle:{PASSWORD}@db.example.org:port/vmoodle",
        f"postgresql://vmoodle:x?{PASSWORD}@db.example.org/vmoodle",
        f"mariadb://vmoodle:{PASSWORD}@db.example.org/vmoodle",
    ],
)
def test_what_is_not_understood_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        database(url)
    assert refused.value.code == "settings.value"
    assert PASSWORD not in f"{refused.value.message} {refused.value.hint}"
