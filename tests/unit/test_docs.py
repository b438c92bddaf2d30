"""The reference pages say what the code does: settings, error codes, checks, links."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from itertools import chain, pairwise
from pathlib import Path

from vmoodle.installation import Installation

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
ERRORS = {
    "InvalidInput": 2, "NotFound": 3, "Conflict": 4, "Refused": 5, "Unavailable": 6, "Failed": 1,
    "NeedsAttention": 7, "VMoodleError": 1,
}  # fmt: skip


CODE = re.compile(r"[a-z]+(\.[a-z_]+)*")
# Codes that are made of a word, and what that word may be.
MADE = {
    "f'{self._noun}.unknown'": ("codebase.unknown", "server.unknown"),
    "f'{self._noun}.none'": ("codebase.none", "server.none"),
    "f'{self._noun}.choose'": ("codebase.choose", "server.choose"),
    "f'{manifest.kind}.archive.odd'": ("snapshot.archive.odd", "template.archive.odd"),
    "f'{self._noun}.used'": ("codebase.used", "server.used"),
    "f'{kind}.used'": ("site.used", "template.used", "snapshot.used"),
    "f'{kind}.name.invalid'": ("codebase.name.invalid", "server.name.invalid"),
    "f'engine.{kind}.exists'": ("engine.database.exists", "engine.account.exists"),
}


def raised_codes() -> Iterator[tuple[str, int]]:
    """Yield each code that an error may have, with the exit status of the error's class."""
    shared = dict(helpers(ast.parse((ROOT / "src" / "vmoodle" / "errors.py").read_text())))
    for path in (ROOT / "src").rglob("*.py"):
        module = ast.parse(path.read_text())
        kinds = {name: name for name in ERRORS} | shared | dict(helpers(module))
        for node in ast.walk(module):
            if isinstance(node, ast.Call):
                words = [node.func, *node.args]
            elif isinstance(node, ast.Tuple):
                words = node.elts
            else:
                continue
            for kind, code in pairwise(words):
                if isinstance(kind, ast.Name) and kind.id in kinds:
                    for text in texts(code, module):
                        yield text, ERRORS[kinds[kind.id]]


def helpers(module: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield each function that makes an error of the code it is given, and the error's class."""
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef) and isinstance(node.returns, ast.Name):
            arguments = [argument.arg for argument in node.args.args]
            if node.returns.id in ERRORS and arguments[:1] == ["code"]:
                yield node.name, node.returns.id


def texts(code: ast.AST, module: ast.Module) -> list[str]:
    """Return what an expression for a code may be; what was an error's code before is none."""
    match code:
        case ast.Constant(value=str(text)):
            return [text] if CODE.fullmatch(text) else []
        case ast.JoinedStr():
            form = ast.unparse(code)
            assert form in MADE, f"{form}: write the code in full, or say what it may be"
            return list(MADE[form])
        case ast.IfExp(body=one, orelse=other):
            return [*texts(one, module), *texts(other, module)]
        case ast.BoolOp(values=values):
            return [text for value in values for text in texts(value, module)]
        case ast.Name(id="code"):
            assigned = [node.value for node in module.body if isinstance(node, ast.Assign)]
            tables = [value for value in assigned if not isinstance(value, ast.Constant)]
            return [
                node.value
                for table in tables
                for node in ast.walk(table)
                if isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and "." in node.value
                and CODE.fullmatch(node.value)
            ]
    return []


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


def test_every_documented_error_code_can_be_raised() -> None:
    assert documented_codes().keys() <= {code for code, _status in raised_codes()}


def test_the_error_codes_of_helpers_are_seen() -> None:
    raised = set(raised_codes())
    assert {("engine.address.path", 2), ("site.url.host", 2), ("engine.embedded.start", 6)} < raised


def test_every_environment_variable_is_documented() -> None:
    pages = "".join(page.read_text() for page in [*DOCS.rglob("*.md"), ROOT / "README.md"])
    for path in (ROOT / "src").rglob("*.py"):
        for name in re.findall(r"os\.environ[\w.]*[\[(]\W*(VMOODLE_[A-Z_]+)", path.read_text()):
            # An option by its section and name is on the settings page by the rule.
            assert "__" in name or name in pages, f"{path.name}: {name}"


def test_the_settings_page_holds_the_documented_file() -> None:
    from vmoodle.settings_file import documented_toml

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


WORD = re.compile(r"[a-z][a-z-]*")


def spoken() -> Iterator[tuple[str, str]]:
    """Yield each call of the program that the pages show and that messages and hints name."""
    for page in [*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"]:
        text = page.read_text().replace("\\\n", " ")
        for call in re.findall(r"^[#$] (vmoodle [^\n#]*)", text, re.M):
            yield page.name, call
        for call in re.findall(r"`(vmoodle [^`]*)`", text):
            yield page.name, " ".join(call.split())
        for call in re.findall(r"`([a-z][a-z-]* [a-z][^`|]*)`", text):
            if call.split()[0] in NOUNS:
                yield page.name, f"vmoodle {' '.join(call.split())}"
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for call in re.findall(r"\bvmoodle (?:[a-z-]+ ?)+(?:--[a-z-]+)?", node.value):
                    if call.split()[1] in NOUNS:
                        yield path.name, call


def known_commands() -> dict[tuple[str, ...], set[str]]:
    """Return the options of each command of the program by its words, and of each noun."""
    import typer

    from vmoodle.cli.main import app

    found: dict[tuple[str, ...], set[str]] = {}

    def below(words: tuple[str, ...], command: object) -> None:
        options = [name for one in command.params for name in (*one.opts, *one.secondary_opts)]
        found[words] = {*options, "--help"}
        for name, inner in getattr(command, "commands", {}).items():
            below((*words, name), inner)

    below((), typer.main.get_command(app))
    return found


KNOWN = known_commands()
NOUNS = {words[0] for words in KNOWN if len(words) > 1}


def test_every_command_that_is_shown_or_hinted_at_exists() -> None:
    wrong = []
    for place, call in spoken():
        words, _separator, options = call.removeprefix("vmoodle ").partition(" --")
        said = words.split(" -- ")[0].split()
        verbs = said[1].rstrip(",;:.").split("|") if len(said) > 1 else []
        if not said or not WORD.fullmatch(said[0]):
            continue
        if said[0] in NOUNS and verbs and WORD.fullmatch(verbs[0]):
            commands = [(said[0], verb) for verb in verbs]
        else:
            commands = [(said[0],)]
        for command in commands:
            named = re.findall(r"--[a-z][a-z-]*", f"--{options}".split(" -- ")[0])
            if command not in KNOWN or (len(command) == 2 and set(named) - KNOWN[command]):
                wrong.append((place, call))
    assert wrong == []


def test_every_command_and_option_is_on_the_page_of_commands() -> None:
    page = (DOCS / "reference" / "commands.md").read_text()
    everywhere = {"--json", "--help", "-h", "--version"}
    missing = []
    for words, options in KNOWN.items():
        if len(words) == 2:
            row = "".join(line for line in page.splitlines() if line.startswith(f"| `{words[0]} "))
            names = [words[1], *(one for one in options if one.startswith("--"))]
            missing += [
                " ".join((words[0], name))
                for name in names
                if name not in everywhere and not re.search(rf"(?<![\w-]){name}(?![\w-])", row)
            ]
    assert missing == []


def reachable() -> dict[str, set[str]]:
    """Return what each package may import: what the architecture's picture has below it."""
    page = (DOCS / "explanation" / "architecture.md").read_text()
    picture = page.split("```mermaid")[1].split("```")[0]
    boxes = {
        box: [word.removesuffix(".py") for word in label.split(":")[0].split(", ")]
        for box, label in re.findall(r'(\w+)\["([^"]+)"\]', picture)
    }
    below: dict[str, set[str]] = {box: set() for box in boxes}
    for line in picture.splitlines():
        links = re.sub(r'\["[^"]*"\]|\|"[^"]*"\|', "", line).split("-->")
        for upper, lower in pairwise(box.strip() for box in links):
            below[upper].add(lower)
    found: dict[str, set[str]] = {}
    for box, names in boxes.items():
        seen: set[str] = set()
        rest = set(below[box])
        while rest:
            seen |= rest
            rest = set().union(*(below[one] for one in rest)) - seen
        lower_names = {name for one in seen for name in boxes[one]}
        for place, name in enumerate(names):
            found[name] = lower_names | set(names[:place])
    return found


def imported_modules(path: Path) -> Iterator[list[str]]:
    """Yield the words of each module of ours that a file imports; one only a type needs is none."""
    tree = ast.parse(path.read_text())
    typing_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node not in typing_only:
            words = (node.module or "").split(".")
            if words[0] == "vmoodle" and len(words) > 1:
                yield words[1:]


def test_imports_go_down_the_architectures_picture() -> None:
    allowed = reachable()
    assert "errors" in allowed["cli"]
    assert "cli" not in allowed["errors"]
    source = ROOT / "src" / "vmoodle"
    for path in source.rglob("*.py"):
        importer = path.relative_to(source).parts[0].removesuffix(".py")
        if importer == "__init__":
            continue
        for words in imported_modules(path):
            if words[0] != importer:
                assert words[0] in allowed[importer], f"{path}: {'.'.join(words)}"


def test_the_folders_of_what_moodle_is_have_no_import_circle() -> None:
    source = ROOT / "src" / "vmoodle" / "moodle"
    imports: dict[str, set[str]] = {}
    for path in source.rglob("*.py"):
        folder = path.relative_to(source).parts[0].removesuffix(".py")
        found = {words[1] for words in imported_modules(path) if words[0] == "moodle" and words[1:]}
        imports.setdefault(folder, set()).update(found - {folder})
    assert len(imports) > 10
    # Raises CycleError with the circle.
    assert list(TopologicalSorter(imports).static_order())


def test_every_figure_has_its_row() -> None:
    page = (DOCS / "explanation" / "figures.md").read_text()
    benches = [
        path.stem for path in (ROOT / "bench").glob("*.py") if "\ndef main" in path.read_text()
    ]
    assert len(benches) > 5
    assert [one for one in benches if f"`script/bench {one}`" not in page] == []


def test_every_dependency_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [
        *project["project"]["dependencies"],
        *chain.from_iterable(project["project"]["optional-dependencies"].values()),
        *chain.from_iterable(project["dependency-groups"].values()),
    ]
    page = (DOCS / "explanation" / "dependencies.md").read_text()
    explained = {
        word.lower()
        for line in page.splitlines()
        if line.startswith("| ")
        for word in re.findall(r"[\w-]+", line.split("|")[1])
    }
    names = {re.split(r"[^\w-]", one)[0].lower() for one in wanted}
    assert names - explained == set()


def test_every_package_is_in_the_architecture() -> None:
    page = (DOCS / "explanation" / "architecture.md").read_text()
    for path in (ROOT / "src" / "vmoodle").iterdir():
        name = f"{path.name}/" if path.is_dir() else path.name
        if not name.startswith("__") and name != "py.typed":
            assert f"`{name}`" in page, name


def test_every_module_that_is_named_is_there() -> None:
    """In backquotes, with its path or without: in docstrings, comments and pages."""
    places = ("src", "tests", "script", "bench", "examples", "docs")
    there = [f"/{path.relative_to(ROOT)}" for one in places for path in (ROOT / one).rglob("*.py")]
    pages = [*(ROOT / "src").rglob("*.py"), *DOCS.rglob("*.md"), ROOT / "README.md"]
    named = {
        (str(page.relative_to(ROOT)), name)
        for page in pages
        for name in re.findall(r"`([\w/.]+\.py)`", page.read_text())
    }
    assert len(named) > 30
    gone = [one for one in sorted(named) if not any(p.endswith(f"/{one[1]}") for p in there)]
    assert gone == []


def test_no_page_is_cited_that_nobody_has() -> None:
    for path in [*(ROOT / "src").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        for name in re.findall(r"([A-Z]+\.md) ?§", path.read_text()):
            assert (ROOT / name).exists(), f"{path}: {name}"


def named_in(tree: ast.Module) -> Iterator[str]:
    """Yield each name that a module uses, also by `getattr`; importing it is no use."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and str(node.value).isidentifier():
            yield str(node.value)


def defined_in(body: list[ast.stmt]) -> Iterator[str]:
    """Yield what a body defines for others to use by its name.

    What a decorator takes and a class with a base are found by others, without their name.
    """
    plain = {"property", "staticmethod", "classmethod", "contextmanager", "cached_property"}
    for node in body:
        match node:
            case ast.FunctionDef(name=name, decorator_list=by):
                if {ast.unparse(one) for one in by} <= plain and not name.startswith("__"):
                    yield name
            case ast.ClassDef(name=name, bases=[], body=inner):
                yield name
                yield from (one for one in defined_in(inner) if not one.isupper())
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                if name.isupper():
                    yield name


def test_nothing_is_defined_that_the_program_does_not_use() -> None:
    # The entry point, and what Django asks of its settings.
    elsewhere = {"main", "SECRET_KEY"}
    paths = [path for path in (ROOT / "src").rglob("*.py") if "migrations" not in path.parts]
    trees = [ast.parse(path.read_text()) for path in paths]
    used = set(chain.from_iterable(map(named_in, trees))) | elsewhere
    # The protocol of Moodle Network is a library until there are commands for it.
    own = [
        tree for path, tree in zip(paths, trees, strict=True)
        if "network" not in path.parts and path.name != "seal.py"
    ]  # fmt: skip
    defined = set(chain.from_iterable(defined_in(tree.body) for tree in own))
    assert len(defined) > 1000
    assert sorted(defined - used) == []


def test_tests_of_every_kind_can_be_run_in_one_call() -> None:
    # Test files are imported by their base name: two of one name are never loaded together.
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
    for path in (ROOT / "tests").rglob("*.py"):
        imported = [node for node in ast.walk(ast.parse(path.read_text()))
                    if isinstance(node, ast.ImportFrom) and node.module == "conftest"]  # fmt: skip
        assert not imported, f"{path.name}: each folder has a conftest of its own"
