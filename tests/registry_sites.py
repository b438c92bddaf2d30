"""Enabled sites that are in the registry only, on two servers that nobody reaches."""

from __future__ import annotations


def enter_sites(count: int) -> dict[str, int]:
    """Enter the sites `s0`, `s1` and so on; return their ids by name."""
    return {f"s{number}": enter_site(f"s{number}", f"d{number % 2}") for number in range(count)}


def enter_site(name: str, server_name: str = "d0") -> int:
    """Enter one site; return its id."""
    from vmoodle.registry.models import Codebase, DatabaseServer, Site

    code, _ = Codebase.objects.get_or_create(
        name="c", path="/nowhere", layout="classic", version="1", release="4.5", branch="405"
    )
    server, _ = DatabaseServer.objects.get_or_create(
        name=server_name,
        defaults={"engine": "mariadb", "address": "x", "flavour": "mariadb", "version": "11"},
    )
    row = Site.objects.create(
        shortname=name, name=name, wwwroot=f"http://{name}.test", address_key=f"{name}.test",
        codebase=code, server=server, database=name, account=name, table_prefix="mdl_",
        password_encrypted="", dataroot=f"/nowhere/{name}", session_key=name, state="enabled",
        admin_user="admin", admin_email="a@example.test",
    )  # fmt: skip
    return int(row.id)
