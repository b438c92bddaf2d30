"""A physical config.php is read as text: what is certain is taken, what is not is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmoodle.errors import InvalidInput
from vmoodle.moodle.code.config_values import ConfigValues, read_config

# As Moodle's installer writes it (lib/installlib.php, 4.5), with what people add.
PLAIN = r"""<?php  // Moodle configuration file

unset($CFG);
global $CFG;
$CFG = new stdClass();

$CFG->dbtype    = 'mariadb';
$CFG->dblibrary = 'native';
$CFG->dbhost    = 'db1.example.org';
$CFG->dbname    = 'moodle';
$CFG->dbuser    = 'moodleuser';
$CFG->dbpass    = 'it\'s; "a" #p\\w';
$CFG->prefix    = 'mdl_';
$CFG->dboptions = array (
  'dbpersist' => 0,
  'dbport' => 3307,
  'dbsocket' => '',
  'dbcollation' => 'utf8mb4_unicode_ci',
);

$CFG->wwwroot   = 'https://school1.example.org';
# $CFG->wwwroot = 'https://old.example.org';
$CFG->dataroot  = '/srv/moodledata/school1';
$CFG->admin     = 'admin';
$CFG->directorypermissions = 02777;
$CFG->sslproxy = true;
$CFG->passwordsaltmain = 'salt';

require_once(__DIR__ . '/lib/setup.php');

// There is no php closing tag in this file,
"""


@pytest.fixture
def read(tmp_path: Path) -> object:
    def of(text: str) -> ConfigValues:
        path = tmp_path / "config.php"
        path.write_text(text, encoding="utf-8")
        return read_config(path)

    return of


def test_what_the_installer_writes_is_read_and_the_rest_is_named(read) -> None:  # type: ignore[no-untyped-def]
    values = read(PLAIN)
    assert values.dbpass.reveal() == 'it\'s; "a" #p\\w'
    assert (values.dbtype, values.dbhost, values.port) == ("mariadb", "db1.example.org", 3307)
    assert (values.dbname, values.dbuser, values.prefix) == ("moodle", "moodleuser", "mdl_")
    assert values.wwwroot == "https://school1.example.org"
    assert values.dataroot == "/srv/moodledata/school1"
    assert values.socket == ""
    assert values.unread == ()
    assert values.others == ("passwordsaltmain", "sslproxy")
    assert "salt" not in repr(values).replace("passwordsaltmain", "")


def test_what_only_php_can_tell_is_named_and_never_guessed(read) -> None:  # type: ignore[no-untyped-def]
    values = read(
        "<?php $CFG->dbpass = getenv('DB_PASS'); $CFG->dbname = \"m_{$site}\";\n"
        "if ($_SERVER['HTTP_HOST'] == 'a') { $CFG->wwwroot = 'http://a'; }\n"
        "else { $CFG->wwwroot = 'http://b'; }\n"
        "if (true) $CFG->dataroot = '/data';\n"
        "$CFG->dboptions['dbport'] = '5433'; $CFG->dboptions['dbsocket'] = '/run/postgresql';"
    )
    assert set(values.unread) == {"dbpass", "dbname", "wwwroot"}
    assert (values.wwwroot, values.dbname, values.dataroot) == ("", "", "/data")
    assert (values.port, values.socket) == (5433, "/run/postgresql")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("<?php // Managed by VMoodle\n$CFG->dbname = 'x';", "adopt.config.ours"),
        ("<?php echo 1;", "adopt.config.none"),
        ("no PHP at all", "adopt.config.none"),
        ("<?php //" + "x" * 600_000, "adopt.config.unreadable"),
    ],
)
def test_what_is_no_config_php_of_one_moodle_is_refused(read, text: str, code: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidInput) as raised:
        read(text)
    assert raised.value.code == code


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as raised:
        read_config(tmp_path / "config.php")
    assert raised.value.code == "adopt.config.unreadable"
