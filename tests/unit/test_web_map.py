"""The web server's map: what stands in it, and what must never."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmoodle.errors import InvalidInput
from vmoodle.hook.web_server import Served, render_map, render_server

ROOTS = {"old": Path("/srv/moodle45"), "new": Path("/srv/moodle51/public")}


def test_each_address_has_its_codebases_web_root() -> None:
    served = Served({"a.test": "new", "b.test": "old", "b.test/school1": "new"}, ROOTS)
    nginx = render_map("nginx", served)
    assert '"a.test" "/srv/moodle51/public";' in nginx
    assert '"b.test/school1" "/school1";' in nginx
    assert 'default "/srv/moodle45";' in nginx
    assert render_map("apache", served).splitlines()[1:] == [
        "a.test new", "b.test old", "b.test/school1 new",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "address", ["*.test", "a.test;", 'a"b', "a b", "$host", "a.test/../x", "a.test/A", "", "~a"]
)
def test_an_address_that_a_web_server_could_misread_is_refused(address: str) -> None:
    for server in ("nginx", "apache"):
        with pytest.raises(InvalidInput) as raised:
            render_map(server, Served({address: "old"}, ROOTS))  # type: ignore[arg-type]
        assert raised.value.code == "web.address"


@pytest.mark.parametrize("path", ["/srv/$host", '/srv/a"b', "/srv/a b", "/srv/a;", "srv", "/a\nb"])
def test_so_is_a_path(path: str) -> None:
    served = Served({"a.test": "odd"}, {"odd": Path(path)})
    with pytest.raises(InvalidInput) as raised:
        render_map("nginx", served)
    assert raised.value.code == "web.root"
    with pytest.raises(InvalidInput):
        render_server("apache", served, fpm="unix:/run/fpm.sock", map_file="/etc/map")


def test_long_and_many_names_get_a_larger_table() -> None:
    many = {f"{'x' * 60}.school{number}.example.org": "old" for number in range(3000)}
    text = render_map("nginx", Served(many, ROOTS))
    assert "map_hash_bucket_size 128;" in text
    assert "map_hash_max_size 32768;" in text
    assert "hash" not in render_map("nginx", Served({"a.test": "old"}, ROOTS))


def test_php_fpm_on_a_port_is_named_as_each_server_wants_it() -> None:
    served = Served({"a.test": "old"}, ROOTS)
    nginx = render_server("nginx", served, fpm="127.0.0.1:9000", map_file="/etc/map")
    assert "fastcgi_pass 127.0.0.1:9000;" in nginx
    apache = render_server("apache", served, fpm="127.0.0.1:9000", map_file="/etc/map")
    assert 'SetHandler "proxy:fcgi://127.0.0.1:9000"' in apache
