"""A real Moodle site's addresses rewritten in its database, on both engines."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from tests.engine_servers import Server, new_site

from fixtures import load_fixture
from vmoodle.engines.protocol import Engine, Rows, SiteConnection, SiteDatabase
from vmoodle.errors import InvalidInput
from vmoodle.moodle.database import address_text, content_urls
from vmoodle.moodle.database.content_urls import ColumnCount, LeftCell, find, plan, rewrite
from vmoodle.moodle.database.text_columns import UNTOUCHED

pytestmark = pytest.mark.parametrize("server", ["mariadb", "postgresql"], indirect=True)

OLD, NEW = "http://rich.example.test", "https://new.example.org/school1"
Cells = dict[tuple[str, str, int], str]


class _RollBack(Exception):
    pass


@contextmanager
def rolled_back(engine: Engine, site: SiteDatabase) -> Iterator[SiteConnection]:
    """Open a connection that writes, and take back all it wrote."""
    with suppress(_RollBack), engine.connect(site, read_only=False) as connection:
        yield connection
        raise _RollBack


@pytest.fixture(scope="module")
def content(server: Server) -> Iterator[SiteDatabase]:
    """The site with content and planted traps, loaded once; tests take back what they write."""
    site, engine = new_site(), server.engine
    engine.create_account(site)
    engine.create_database(site)
    load_fixture(engine, site, "moodle-4.5.5-content")
    yield site
    engine.drop_database(site)
    engine.drop_account(site.account)


def quoted(engine: Engine, name: str) -> str:
    return f"`{name}`" if engine.address.engine == "mariadb" else f'"{name}"'


def cells(engine: Engine, connection: SiteConnection) -> Cells:
    """Return every text of the site, found by other means than the module's."""
    schema = "DATABASE()" if engine.address.engine == "mariadb" else "current_schema()"
    columns: dict[str, list[str]] = {}
    for table, column, kind in connection.query(
        "SELECT table_name, column_name, data_type FROM information_schema.columns"
        f" WHERE table_schema = {schema}"
    ):
        if "char" in kind or "text" in kind:
            columns.setdefault(table, []).append(column)
    found: Cells = {}
    for table, names in columns.items():
        select = ", ".join(["id", *(quoted(engine, name) for name in names)])
        for row in connection.query(f"SELECT {select} FROM {quoted(engine, table)}"):
            for name, value in zip(names, row[1:], strict=True):
                if value:
                    found[table.removeprefix("mdl_"), name, row[0]] = value
    return found


def is_untouched(table: str, column: str) -> bool:
    return any(
        re.fullmatch(rule.tables, table) and re.fullmatch(rule.columns, column)
        for rule in UNTOUCHED
    )


def php(program: str, argument: object) -> Any:
    """Run a program of real PHP that answers in JSON."""
    if not shutil.which("php"):
        pytest.skip("not installed: php")
    ended = subprocess.run(
        ["php", "-n", "-r", program],
        input=json.dumps(argument),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(ended.stdout)


def test_no_text_holds_the_old_address_afterwards(engine: Engine, content: SiteDatabase) -> None:
    with rolled_back(engine, content) as connection:
        before = {(table, column) for table, column, _ in find(connection, OLD)}
        assert {("course", "summary"), ("block_instances", "configdata")} < before
        report = rewrite(connection, OLD, NEW)
        assert find(connection, OLD) == []
        assert {count.table for count in report.columns} == {table for table, _ in before}
        assert report.left == ()
        kept = find(connection, OLD, untouched=True)
        assert {table for table, _, _ in kept} == {"config_log", "logstore_standard_log"}
        for (table, column, row), value in cells(engine, connection).items():
            texts = [value]
            if re.fullmatch(r"[A-Za-z0-9+/]{8,}={0,2}", value) and len(value) % 4 == 0:
                texts.append(base64.b64decode(value).decode("utf-8", "replace"))
            for text in texts:
                hit = re.search(r"(/|2F)rich\.example\.test", text, re.IGNORECASE)
                assert not hit or is_untouched(table, column), (table, column, row, value)


def test_every_cell_is_what_plain_replacement_makes_of_it(
    engine: Engine, content: SiteDatabase
) -> None:
    pairs = [
        (OLD, NEW),
        ("http%3A%2F%2Frich.example.test", "https%3A%2F%2Fnew.example.org%2Fschool1"),
    ]
    with rolled_back(engine, content) as connection:
        before = cells(engine, connection)
        report = rewrite(connection, OLD, NEW)
        after = cells(engine, connection)
    changed = 0
    for key, value in before.items():
        expected = value
        if not is_untouched(key[0], key[1]) and key[:2] != ("block_instances", "configdata"):
            for old, new in pairs:
                expected = expected.replace(old, new)
        elif key[:2] == ("block_instances", "configdata"):
            expected = after[key]
        changed += expected != value
        assert after[key] == expected, key
    assert after.keys() == before.keys()
    assert changed == report.cells
    everything = "\n".join(after.values())
    assert "table mdl_user and x9_user stay as written" in everything
    assert "prefix mdl_ and host rich.example.test" in everything
    assert "noreply@rich.example.test" in everything
    assert "https://elsewhere.example/?from=https%3A%2F%2Fnew.example.org%2Fschool1" in everything


def test_real_php_reads_every_block_with_the_same_structure(
    engine: Engine, content: SiteDatabase
) -> None:
    query = "SELECT configdata FROM {block_instances} WHERE configdata <> '' ORDER BY id"
    with rolled_back(engine, content) as connection:
        before = [row[0] for row in connection.query(query)]
        rewrite(connection, OLD, NEW)
        after = [row[0] for row in connection.query(query)]
    program = """
        [$before, $after, $old, $new] = json_decode(stream_get_contents(STDIN), true);
        $read = fn($texts) => array_map(fn($t) => unserialize(base64_decode($t)), $texts);
        $expected = $read($before);
        foreach ($expected as $block) {
            foreach ($block as $name => $value) {
                if (is_string($value)) { $block->$name = str_replace($old, $new, $value); }
            }
        }
        $got = $read($after);
        echo json_encode([$got == $expected && serialize($got) === serialize($expected), $got]);
    """
    same, blocks = php(program, [before, after, OLD, NEW])
    assert same
    assert len(blocks) >= 3
    assert sum(NEW in json.dumps(block, indent=0).replace("\\/", "/") for block in blocks) == 3
    assert before != after


def test_a_plan_counts_what_rewriting_then_does_and_changes_nothing(
    engine: Engine, content: SiteDatabase
) -> None:
    with engine.connect(content) as connection:
        planned = plan(connection, OLD, NEW)
        assert planned == plan(connection, OLD, NEW)
    assert planned.cells > 30
    assert ColumnCount("block_instances", "configdata", 3, 5) in planned.columns
    assert ColumnCount("forum_posts", "message", 4, 8) in planned.columns
    with rolled_back(engine, content) as connection:
        assert rewrite(connection, OLD, NEW) == planned
        again = rewrite(connection, OLD, NEW)
        assert (again.cells, again.addresses, again.tables, again.left) == (0, 0, (), ())
        assert find(connection, NEW) == [
            (count.table, count.column, count.cells) for count in planned.columns
        ]


@pytest.mark.parametrize(
    "new", [NEW, "https://rich.example.test", "http://rich.example.test/s1", "http://a.test:8080"]
)
def test_the_way_back_gives_the_original_database(
    engine: Engine, content: SiteDatabase, new: str
) -> None:
    with rolled_back(engine, content) as connection:
        before = cells(engine, connection)
        assert rewrite(connection, OLD, new).cells > 30
        assert rewrite(connection, OLD, new).cells == 0
        assert cells(engine, connection) != before
        rewrite(connection, new, OLD)
        assert cells(engine, connection) == before


class Counting:
    """Count the statements of a connection."""

    def __init__(self, connection: SiteConnection) -> None:
        self.connection = connection
        self.statements = 0

    def query(self, sql: str, params: Sequence[object] = ()) -> Rows:
        self.statements += 1
        return self.connection.query(sql, params)

    def execute(self, sql: str, params: Sequence[object] = ()) -> int:
        self.statements += 1
        return self.connection.execute(sql, params)


def test_a_site_of_494_tables_takes_few_statements(engine: Engine, content: SiteDatabase) -> None:
    with rolled_back(engine, content) as connection:
        counting = Counting(connection)
        touched = rewrite(counting, OLD, NEW).tables
        assert counting.statements <= 10 + 3 * (len(touched) + 1)


# ---- hostile content, in a small database


@pytest.fixture
def small(engine: Engine, make_site: Callable[..., SiteDatabase]) -> SiteDatabase:
    """A database of a few tables with Moodle's names, another prefix, and reserved words."""
    site = make_site(prefix="x9_")
    number = (
        "BIGINT AUTO_INCREMENT PRIMARY KEY"
        if engine.address.engine == "mariadb"
        else "BIGSERIAL PRIMARY KEY"
    )
    word = quoted(engine, "order")
    with engine.connect(site, read_only=False) as connection:
        for sql in (
            f"CREATE TABLE {{page}} (id {number}, name VARCHAR(40), {word} TEXT, code VARCHAR(9))",
            f"CREATE TABLE {{block_instances}} (id {number}, configdata TEXT)",
            f"CREATE TABLE {{logstore_x_log}} (id {number}, other TEXT)",
            f"CREATE TABLE {{files_reference}} (id {number}, repositoryid BIGINT NOT NULL,"
            " reference TEXT, referencehash VARCHAR(40) NOT NULL)",
            "CREATE UNIQUE INDEX x9_files_ix ON {files_reference} (referencehash, repositoryid)",
            f"CREATE TABLE {{feed}} (id {number}, url VARCHAR(200) NOT NULL)",
            "CREATE UNIQUE INDEX x9_feed_url ON {feed} (url)",
            "CREATE TABLE {bare} (value TEXT)",
        ):
            connection.execute(sql)
    return site


def insert(connection: SiteConnection, table: str, column: str, *values: str) -> None:
    for value in values:
        connection.execute(f"INSERT INTO {{{table}}} ({column}) VALUES (%s)", (value,))


def column(connection: SiteConnection, table: str, name: str) -> list[str]:
    return [row[0] for row in connection.query(f"SELECT {name} FROM {{{table}}} ORDER BY id")]


def test_what_cannot_be_rewritten_stays_and_is_reported(
    engine: Engine, small: SiteDatabase
) -> None:
    word = quoted(engine, "order")
    texts = ["'; DROP TABLE x --", f"é {OLD}/%s {{page}} \\ 🎓", 'a:1:{i:0;s:9:"' + OLD + '";}', ""]
    with engine.connect(small, read_only=False) as connection:
        insert(connection, "page", word, *texts)
        insert(connection, "page", "name", OLD, f"{OLD}/{'x' * 12}")
        insert(connection, "logstore_x_log", "other", OLD)
        connection.execute("INSERT INTO {bare} (value) VALUES (%s)", (OLD,))
        planned = plan(connection, OLD, NEW)
        report = rewrite(connection, OLD, NEW)
        assert planned == report
        assert report.columns == (
            ColumnCount("page", "name", 1, 1),
            ColumnCount("page", "order", 1, 1),
        )
        assert set(report.left) == {
            LeftCell("page", "order", 3, address_text.BROKEN),
            LeftCell("page", "name", 6, content_urls.TOO_LONG),
            LeftCell("bare", "value", None, content_urls.NO_ID),
        }
        assert column(connection, "page", word)[:4] == [
            texts[0],
            f"é {NEW}/%s {{page}} \\ 🎓",
            *texts[2:],
        ]
        assert column(connection, "page", "name")[4:] == [NEW, f"{OLD}/{'x' * 12}"]
        assert find(connection, OLD) == [
            ("bare", "value", 1),
            ("page", "name", 1),
            ("page", "order", 1),
        ]
        assert ("logstore_x_log", "other", 1) in find(connection, OLD, untouched=True)


def test_blocks_are_unpacked_however_deep_the_address_lies(
    engine: Engine, small: SiteDatabase
) -> None:
    def pack(text: str) -> str:
        return base64.b64encode(f's:{len(text.encode())}:"{text}";'.encode()).decode()

    with engine.connect(small, read_only=False) as connection:
        insert(
            connection,
            "block_instances",
            "configdata",
            pack(pack(f"{OLD}/a")),
            pack("HTTP://RICH.EXAMPLE.TEST/"),
            pack("nothing"),
            "no base64",
        )
        insert(
            connection,
            "page",
            quoted(engine, "order"),
            *(pack(f"{s}{OLD}") for s in ("", "é", "ab")),
        )
        assert find(connection, OLD) == [("block_instances", "configdata", 2), ("page", "order", 3)]
        assert rewrite(connection, OLD, NEW).cells == 5
        assert column(connection, "block_instances", "configdata") == [
            pack(pack(f"{NEW}/a")),
            pack(f"{NEW}/"),
            pack("nothing"),
            "no base64",
        ]
        assert find(connection, OLD) == []


def test_equal_rows_in_a_unique_index_are_reported_before_the_server_refuses(
    engine: Engine, small: SiteDatabase
) -> None:
    with engine.connect(small, read_only=False) as connection:
        insert(
            connection,
            "feed",
            "url",
            f"{OLD}/a",
            "https://rich.example.test/a",
            f"{OLD}/b",
            f"{NEW}/b",
        )
        planned = plan(connection, OLD, NEW)
        report = rewrite(connection, OLD, NEW)
        assert report == planned
        assert report.columns == (ColumnCount("feed", "url", 1, 1),)
        assert report.left == tuple(
            LeftCell("feed", "url", row, content_urls.DUPLICATE) for row in (2, 3)
        )
        assert column(connection, "feed", "url") == [
            f"{NEW}/a",
            "https://rich.example.test/a",
            f"{OLD}/b",
            f"{NEW}/b",
        ]


def test_what_is_derived_from_an_address_follows_it(engine: Engine, small: SiteDatabase) -> None:
    def sha1(text: str) -> str:
        return hashlib.sha1(text.encode()).hexdigest()  # noqa: S324 - as Moodle has it

    rows = [
        (1, f"{OLD}/é", sha1(f"{OLD}/é")),
        (1, f"{OLD}/odd", "somebody's own"),
        (2, f"{OLD}/c", sha1(f"{OLD}/c")),
        (2, "https://rich.example.test/c", sha1("https://rich.example.test/c")),
    ]
    with engine.connect(small, read_only=False) as connection:
        for row in rows:
            connection.execute(
                "INSERT INTO {files_reference} (repositoryid, reference, referencehash)"
                " VALUES (%s, %s, %s)",
                row,
            )
        report = rewrite(connection, OLD, NEW)
        assert report.columns == (ColumnCount("files_reference", "reference", 3, 3),)
        assert report.left == (LeftCell("files_reference", "reference", 4, content_urls.DUPLICATE),)
        assert list(
            connection.query(
                "SELECT repositoryid, reference, referencehash FROM {files_reference} ORDER BY id"
            )
        ) == [
            (1, f"{NEW}/é", sha1(f"{NEW}/é")),
            (1, f"{NEW}/odd", "somebody's own"),
            (2, f"{NEW}/c", sha1(f"{NEW}/c")),
            rows[3],
        ]


def test_many_rows_are_read_and_written_in_pages(
    engine: Engine, small: SiteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content_urls, "_ROWS_A_PAGE", 3)
    monkeypatch.setattr(content_urls, "_ROWS_AN_UPDATE", 2)
    monkeypatch.setattr(content_urls, "_CHARACTERS_AN_UPDATE", 300)
    texts = [f"{number} {OLD if number % 3 else 'x'}/{'y' * number * 9}" for number in range(20)]
    with engine.connect(small, read_only=False) as connection:
        insert(connection, "page", quoted(engine, "order"), *texts)
        assert rewrite(connection, OLD, NEW).cells == 13
        assert column(connection, "page", quoted(engine, "order")) == [
            text.replace(OLD, NEW) for text in texts
        ]


def test_neighbours_on_the_host_keep_their_addresses(engine: Engine, small: SiteDatabase) -> None:
    texts = [f"{OLD}/school2/x", f"{OLD}/school22", f"{OLD}/x"]
    with engine.connect(small, read_only=False) as connection:
        insert(connection, "page", quoted(engine, "order"), *texts)
        others = [f"{OLD}/school2"]
        assert rewrite(connection, OLD, NEW, others=others).cells == 2
        assert column(connection, "page", quoted(engine, "order")) == [
            texts[0],
            f"{NEW}/school22",
            f"{NEW}/x",
        ]
        assert find(connection, OLD, others=others) == []


def test_an_address_no_site_can_have_is_refused(engine: Engine, small: SiteDatabase) -> None:
    with engine.connect(small) as connection, pytest.raises(InvalidInput, match="no address"):
        plan(connection, "rich.example.test", NEW)
