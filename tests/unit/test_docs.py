"""The reference pages say what the code does: settings, error codes, checks, links."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from vmoodle.installation import Installation

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
ERRORS = {
    "InvalidInput": 2, "NotFound": 3, "Conflict": 4, "Refused": 5, "Unavailable": 6, "Failed": 1,
    "NeedsAttention": 7, "VMoodleError": 1,
}  # fmt: skip


def raised_codes() -> Iterator[tuple[str, int]]:
    """Yield each literal code that is given to an error's class, with the class's exit status."""
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call | ast.Tuple):
                continue
            words = [node.func, *node.args] if isinstance(node, ast.Call) else node.elts
            for kind, code in pairwise(words):
                if isinstance(kind, ast.Name) and kind.id in ERRORS and is_code(code):
                    yield code.value, ERRORS[kind.id]


def is_code(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def documented_codes() -> dict[str, int]:
    page = (DOCS / "reference" / "errors.md").read_text()
    return {code: int(status) for code, status in re.findall(r"^\| `(\S+)` \| (\d) \|", page, re.M)}


def test_every_error_code_is_documented_with_its_exit_status() -> None:
    documented = documented_codes()
    raised = set(raised_codes())
    assert len(raised) > 100
    internal = {("operation.internal", 7)}
    wrong = {code: status for code, status in raised - internal if documented.get(code) != status}
    assert wrong == {}


def test_the_settings_page_holds_the_documented_file() -> None:
    from vmoodle.settings import documented_toml

    assert documented_toml() in (DOCS / "reference" / "settings.md").read_text()


def test_every_check_is_documented_and_no_other(installation: Installation) -> None:
    from vmoodle.doctor.examination import CHECKS

    page = (DOCS / "reference" / "checks.md").read_text()
    assert re.findall(r"^\| (V\d+) \|", page, re.M) == [check.number for check in CHECKS]


def test_every_link_between_pages_leads_somewhere() -> None:
    for page in [*DOCS.rglob("*.md"), ROOT / "README.md"]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    for page in DOCS.rglob("*.md"):
        assert str(page.relative_to(DOCS)) in navigation
