"""Secrets never show themselves and are encrypted at rest."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from vmoodle.errors import Refused, Unavailable
from vmoodle.secret import Keyring, Secret, generate_password, without_secrets

PLANTED = "planted-password"


def test_a_secret_shows_three_asterisks_everywhere() -> None:
    secret = Secret(PLANTED)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>5}", repr({"a": [secret]})]
    assert all("***" in text and PLANTED not in text for text in shown)
    assert secret.reveal() == PLANTED


def test_a_secret_is_not_pickled() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret(PLANTED))


def test_a_text_is_told_without_its_secrets_even_where_they_are_cut_off() -> None:
    secrets = [Secret("admin-s3cret"), Secret("x"), Secret("")]
    told = without_secrets("Duplicate 'admin-s3cret', near 'admin-s3…', x", secrets)
    assert told == "Duplicate '***', near '***…', x"


def test_a_keyring_opens_what_it_closed(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path / "key")
    keyring.ensure()
    token = keyring.encrypt(Secret(PLANTED))
    assert PLANTED not in token
    assert keyring.decrypt(token) == Secret(PLANTED)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_an_older_key_still_opens_after_a_newer_one_was_put_first(tmp_path: Path) -> None:
    old, new = Keyring(tmp_path / "old"), Keyring(tmp_path / "new")
    old.ensure()
    new.ensure()
    token = old.encrypt(Secret(PLANTED))
    both = tmp_path / "both"
    both.touch(mode=0o600)
    both.write_bytes((tmp_path / "new").read_bytes() + (tmp_path / "old").read_bytes())
    assert Keyring(both).decrypt(token) == Secret(PLANTED)


def test_a_mark_tells_equal_secrets_by_one_installations_key_and_outlives_a_newer_key(
    tmp_path: Path,
) -> None:
    old, new = Keyring(tmp_path / "old"), Keyring(tmp_path / "new")
    old.ensure()
    new.ensure()
    mark = old.mark(Secret(PLANTED))
    assert mark == Keyring(tmp_path / "old").mark(Secret(PLANTED))
    assert mark not in {old.mark(Secret("another")), new.mark(Secret(PLANTED))}
    both = tmp_path / "both"
    both.touch(mode=0o600)
    both.write_bytes((tmp_path / "new").read_bytes() + (tmp_path / "old").read_bytes())
    assert Keyring(both).mark(Secret(PLANTED)) == mark


def test_the_wrong_key_is_a_clear_error(tmp_path: Path) -> None:
    first, second = Keyring(tmp_path / "a"), Keyring(tmp_path / "b")
    first.ensure()
    second.ensure()
    with pytest.raises(Unavailable) as caught:
        second.decrypt(first.encrypt(Secret(PLANTED)))
    assert caught.value.code == "home.key.wrong"


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path / "key")
    keyring.ensure()
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(Refused) as caught:
        Keyring(tmp_path / "key").encrypt(Secret("x"))
    assert caught.value.code == "home.key.exposed"


def test_a_damaged_key_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_text("not a key\n")
    with pytest.raises(Unavailable) as caught:
        Keyring(path).encrypt(Secret("x"))
    assert caught.value.code == "home.key.damaged"


def test_generated_passwords_meet_moodles_default_policy_and_differ() -> None:
    passwords = {generate_password().reveal() for _ in range(100)}
    assert len(passwords) == 100
    for password in passwords:
        assert any(c.islower() for c in password)
        assert any(c.isupper() for c in password)
        assert any(c.isdigit() for c in password)
        assert any(not c.isalnum() for c in password)
