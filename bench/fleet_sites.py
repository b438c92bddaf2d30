"""Sites for the benches of commands on many sites: databases with Moodle's tables, in a registry.

Nobody deploys them: of one small database, loaded from a real Moodle's dump, the server makes as
many copies as are wanted, and each gets an account of its own, as a site's has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fixtures import load_fixture

from vmoodle.engines.protocol import Engine, SiteDatabase, open_engine
from vmoodle.secret import Secret, generate_password

if TYPE_CHECKING:
    from tests.servers import PrivateServer

    from vmoodle.installation import Installation

FIXTURE = "moodle-4.5.5"
# Of some five hundred tables the benches ask these.
KEPT = (
    "capabilities", "config", "config_plugins", "context", "role", "role_allow_assign",
    "role_allow_override", "role_allow_switch", "role_allow_view", "role_capabilities",
    "role_context_levels", "user",
)  # fmt: skip


def make_databases(engine: Engine, count: int, kept: Collection[str] = KEPT) -> list[SiteDatabase]:
    """Return so many databases with some of Moodle's tables, made by the server."""
    template = engine.anonymous_database("vm_template")
    engine.create_database(template)
    load_fixture(engine, template, FIXTURE)
    others = [
        name for name in engine.tables(template) if name.removeprefix(template.prefix) not in kept
    ]
    with engine.connect(template, read_only=False) as connection:
        connection.execute("DROP TABLE " + ", ".join(others))
    made = [SiteDatabase(f"vm_s{n}", f"vm_s{n}", generate_password()) for n in range(count)]
    for one in made:
        engine.create_account(one)
        engine.clone_database(template, one)
    return made


def register(
    installation: Installation, server: PrivateServer, databases: list[SiteDatabase], *,
    under: str = "main", count: int | None = None, dataroots: Sequence[Path] = (),
) -> None:  # fmt: skip
    """Enter sites on these databases into the registry; more than there are share them.

    Those that share one are on several servers of the registry, all of them this one.
    """
    from vmoodle.registry.models import Codebase, Site

    codebase, _ = Codebase.objects.get_or_create(
        name="main", path="/nowhere", layout="classic", version="2024100705.01",
        release="4.5.5+ (Build: 20250613)", branch="405",
    )  # fmt: skip
    passwords = [installation.encrypt(one.password) for one in databases]
    wanted = len(databases) if count is None else count

    def rows() -> Iterator[Site]:
        for number in range(wanted):
            turn, place = divmod(number, len(databases))
            if place == 0:
                row = _server(installation, server, f"{under}{turn}")
            name, one = f"{under}-{number}", databases[place]
            yield Site(
                shortname=name, name=f"School {number}", wwwroot=f"https://{name}.example.org",
                address_key=f"{name}.example.org", codebase=codebase, server=row,
                database=one.name, account=one.account, password_encrypted=passwords[place],
                table_prefix=one.prefix, session_key=name,
                dataroot=str(dataroots[place]) if dataroots else f"/nowhere/{name}",
                state="enabled", admin_user="admin", admin_email="admin@example.com",
            )  # fmt: skip

    Site.objects.bulk_create(rows(), batch_size=500)


def _server(installation: Installation, server: PrivateServer, name: str) -> object:
    from vmoodle.registry.models import DatabaseServer

    facts = open_engine(server.address).facts()
    return DatabaseServer.objects.create(
        name=name, engine=server.address.engine, address=server.address.display(),
        flavour=facts.flavour, version=facts.version,
        url_encrypted=installation.encrypt(Secret(server.url)),
    )  # fmt: skip
