"""Which words of a script's command line are secrets, and which scripts would print some."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trees import on_real_trees
from vmoodle.moodle.config.names import parse_setting
from vmoodle.moodle.scripts.secret_words import masked_words, prints_secrets, secret_words

CFG = "admin/cli/cfg.php"
RESET = "admin/cli/reset_password.php"


def shown(script: str, *words: str) -> list[str]:
    return masked_words(words, secret_words(script, words))


@pytest.mark.parametrize(
    ("script", "words", "masked"),
    [
        (CFG, "--name=smtppass --set=x", "--name=smtppass --set=***"),
        (CFG, "--set x --name smtppass", "--set *** --name smtppass"),
        (CFG, "--component=auth_ldap --name=bind_pw --set=x",
         "--component=auth_ldap --name=bind_pw --set=***"),
        (CFG, "--name=theme --set=boost", "--name=theme --set=boost"),
        (CFG, "--name=smtppass --unset", "--name=smtppass --unset"),
        (CFG, "--name=enablesecret --set=1", "--name=enablesecret --set=1"),
        (RESET, "-u=admin -p=x -i", "-u=admin -p=*** -i"),
        (RESET, "--password x --username admin", "--password *** --username admin"),
        (RESET, "--password -x", "--password ***"),
        (RESET, "--ignore-password-policy --username=a", "--ignore-password-policy --username=a"),
        ("admin/cli/upgrade.php", "-p=x", "-p=x"),
        ("admin/cli/install.php", "--adminpass=x --dbpass=y --upgradekey=z --lang=en",
         "--adminpass=*** --dbpass=*** --upgradekey=*** --lang=en"),
        (CFG, "--component=tool_x --name=jwtkey --set=x",
         "--component=tool_x --name=jwtkey --set=***"),
        ("local/x/cli/do.php", "--client-credentials=x --pwd=y --mode=z",
         "--client-credentials=*** --pwd=*** --mode=z"),
        ("local/x/cli/do.php", "--apitoken=a=b positional", "--apitoken=*** positional"),
    ],
)  # fmt: skip
def test_a_word_that_holds_a_secret_is_masked(script: str, words: str, masked: str) -> None:
    assert shown(script, *words.split()) == masked.split()


@pytest.mark.parametrize(
    ("words", "prints"),
    [
        ("--name=smtppass", True),
        ("--name smtppass --component=core", True),
        ("", True),
        ("--component=auth_ldap --json", True),
        ("--name=theme", False),
        ("--name=smtppass --set=x", False),
        ("--name=smtppass --unset", False),
        ("--help", False),
    ],
)
def test_a_script_that_prints_settings_is_known_by_its_words(words: str, *, prints: bool) -> None:
    assert prints_secrets(CFG, words.split()) is prints
    assert not prints_secrets("admin/cli/cron.php", words.split())


PASSWORD = re.compile(
    r"new admin_setting_(?:configpasswordunmask|encryptedpassword)\w*\(\s*'(\S+)'"
)


@on_real_trees
def test_what_moodle_itself_hides_on_its_pages_is_a_secret(real_tree: Path) -> None:
    files = [*real_tree.rglob("settings*.php"), *real_tree.rglob("admin/settings/*.php")]
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in files]
    found = {name for text in texts for name in PASSWORD.findall(text)}
    assert {"auth_ldap/bind_pw", "smtppass"} <= found
    assert [name for name in sorted(found) if not parse_setting(name).is_secret] == []
