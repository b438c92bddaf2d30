"""A list of sites is read as it is written: three old kinds, separators, comments, encodings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vmoodle.errors import InvalidInput
from vmoodle.fleet.bulk.site_list import SiteList, read_list

NODELIST = """# the original's nodelist-dist.csv
vhostname;vtemplate;name;shortname;description;vdbtype;vdbhost;vdblogin;vdbpass;vdbname;vdbpersist;\
vdbprefix;vdatapath;mnet;services;config_smtphosts;auth_cas|server
// a comment of another kind

(and another)
[and another]
- and another
 and another
http://a.example.org;tpl;A&#44 the first;a;"The ""A"" site";mariadb;db1:3307;u;s3cret;d;0;mdl_;\
/d/a;1;default;mail.example.org;cas.example.org
http://b.example.org;;B;b;;;;;;;;;;NEW;subnetwork;;
http://c.example.org;0;C;c;;;;;;;;;;;;;
"""
INTEGRATE = (
    "vhostname;name;shortname;description;vdbhost;vdblogin;vdbpass;vdbname;vdatapath\n"
    "http://a.example.org;A;a;;localhost;u;p;d;/d/a\n"
)


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., SiteList]:
    def of(text: str | bytes, **options: str) -> SiteList:
        path = tmp_path / "list.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_list(path, **options)

    return of


def test_the_originals_list_of_nodes_creates_and_its_template_0_adopts(
    read: Callable[..., SiteList],
) -> None:
    found = read(NODELIST)
    first, second, _third = found.rows
    assert [row.line for row in found.rows] == [9, 10, 11]
    assert [row.problem for row in found.rows] == [None, None, None]
    assert [row.action for row in found.rows] == ["create", "create", "adopt"]
    assert first.get("name") == "A; the first"
    assert first.get("description") == 'The "A" site'
    assert (first.get("template"), first.get("host"), first.get("url")) == (
        "tpl", "db1:3307", "http://a.example.org",
    )  # fmt: skip
    assert first.config == {"smtphosts": "mail.example.org"}
    assert first.plugins == {"auth_cas": {"server": "cas.example.org"}}
    assert (second.config, second.plugins) == ({}, {})
    assert found.notes == ("not used: mnet, services, vdbpersist",)
    assert found.holds_passwords
    assert "s3cret" not in repr(found)


def test_the_other_two_kinds_are_told_by_their_columns(read: Callable[..., SiteList]) -> None:
    assert [row.action for row in read(INTEGRATE).rows] == ["adopt"]
    assert [row.action for row in read("vhostname\nhttp://a.test\n").rows] == ["snapshot"]
    assert [row.action for row in read("url;mnet;services\nhttp://a.test;1;\n").rows] == [
        "snapshot"
    ]
    assert [row.action for row in read("shortname;config\na;/x/config.php\n").rows] == ["adopt"]
    assert [row.action for row in read(INTEGRATE, action="create").rows] == ["create"]
    each = read("action,shortname,url\nadopt,a,http://a.test\n,b,http://b.test\n")
    assert [row.action for row in each.rows] == ["adopt", "create"]


@pytest.mark.parametrize("mark", [";", ",", "\t", "|"])
def test_any_usual_separator_is_found_out(read: Callable[..., SiteList], mark: str) -> None:
    text = "shortname;url;name\na;http://a.test;".replace(";", mark) + '"it\'s; , | here"\n'
    (row,) = read(text).rows
    assert row.problem is None
    assert row.get("url") == "http://a.test"


def test_both_encodings_are_read(read: Callable[..., SiteList]) -> None:
    text = "shortname;url;name\na;http://a.test;École à l'été\n"
    for content, options in (
        (text.encode(), {}),
        (b"\xef\xbb\xbf" + text.encode(), {}),
        (text.encode("iso-8859-1"), {}),
        (text.encode("iso-8859-1"), {"encoding": "iso-8859-1"}),
    ):
        assert read(content, **options).rows[0].get("name") == "École à l'été"
    assert "ISO-8859-1" in read(text.encode("iso-8859-1")).notes[0]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("b;http://b.test", "import.columns"),
        ("b;http://b.test;B;more;", "import.columns"),
        ('b;http://b.test;"B;', "import.columns"),
        (";http://b.test;B;", "import.missing"),
        ("b;;B;", "import.missing"),
        ("B C;http://b.test;B;", "site.shortname.invalid"),
        ("b;b.test;B;", "site.url.scheme"),
        ("b;http://b.test;B;destroy", "import.action"),
        ("a;http://b.test;B;", "import.twice"),
        ("b;http://a.test;B;", "import.twice"),
    ],
)
def test_a_bad_line_is_named_and_stops_no_other(
    read: Callable[..., SiteList], line: str, code: str
) -> None:
    found = read(f"shortname;url;name;action\na;http://a.test;A;\n{line}\nz;http://z.test;Z;\n")
    assert [row.problem is None for row in found.rows] == [True, False, True]
    problem = found.rows[1].problem
    assert problem is not None
    assert problem.code == code
    assert found.rows[1].line == 3


def test_all_that_is_wrong_with_a_line_is_said_at_once(read: Callable[..., SiteList]) -> None:
    head = "shortname;url;prefix;enabled;action\n"
    found = read(
        f"{head}a;http://a.test;;;\nB C;b.test;9_;2;\n;;9_;;\na;http://a.test;;2;\n"
        "b;b.test;;;destroy\n"
    )
    first, *bad = (row.problem for row in found.rows)
    assert first is None
    assert [problem.code for problem in bad if problem] == [
        "site.shortname.invalid", "import.missing", "import.value", "import.action"
    ]  # fmt: skip
    for problem, words in zip(
        bad,
        (
            ("'B C'", "http://", "'9_'", "neither 0 nor 1"),
            ("no shortname, url.", "'9_'"),
            ("neither 0 nor 1", "Line 2 has the shortname a already.",
             "Line 2 has the address http://a.test already."),
            ("'destroy'", "http://"),
        ),
        strict=True,
    ):  # fmt: skip
        assert problem is not None
        assert [word for word in words if word not in problem.message] == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "import.file"),
        ("# nothing but words\n", "import.file"),
        ("shortname;url\0\n", "import.file"),
        ("shortname;ulr\n", "import.header"),
        ("shortname;url;vhostname\n", "import.header"),
        ("shortname;url;config_version\n", "import.header"),
        ("shortname;url;config_a b\n", "import.header"),
        ("shortname;url;mod_forum|version\n", "import.header"),
        ('shortname;"url\n', "import.header"),
    ],
)
def test_a_list_whose_columns_cannot_be_understood_is_refused(
    read: Callable[..., SiteList], text: str, code: str
) -> None:
    with pytest.raises(InvalidInput) as raised:
        read(text)
    assert raised.value.code == code


def test_a_setting_of_a_plugin_may_be_a_password_too(read: Callable[..., SiteList]) -> None:
    head = "shortname;url;auth_ldap|bind_pw\n"
    assert read(head + "a;http://a.test;s3cret\n").holds_passwords
    assert not read(head + "a;http://a.test;\n").holds_passwords


def test_words_that_say_nothing_are_refused(read: Callable[..., SiteList]) -> None:
    text = "shortname;url\na;http://a.test\n"
    for options, code in (
        ({"separator": "ab"}, "import.separator"),
        ({"encoding": "klingon"}, "import.file"),
        ({"action": "destroy"}, "import.action"),
    ):
        with pytest.raises(InvalidInput) as raised:
            read(text, **options)
        assert raised.value.code == code
