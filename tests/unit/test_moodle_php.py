"""PHP and Moodle's scripts: accounts, environments, secrets, time limits, deaths."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.places import passable_directory
from tests.processes import lives
from tests.servers import wait_until
from tests.trees import make_tree, on_real_trees

from vmoodle.errors import InvalidInput, Refused, Unavailable
from vmoodle.moodle.code.component_cache import build_component_cache
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.php.account import can_reach
from vmoodle.moodle.php.binary import PhpBinary, find_php
from vmoodle.moodle.scripts.script import CompletedScript, run_script
from vmoodle.secret import Secret

LIMIT_SECONDS = 20.0
AS_ROOT = os.geteuid() == 0
ACCOUNT = "www-data" if AS_ROOT else None
PASSWORD = "pl4nted'\"&<$ecret"

SHOW = """<?php
echo json_encode([
    'argv' => $argv, 'server' => $_SERVER['argv'], 'argc' => $argc, 'cwd' => getcwd(),
    'script' => $_SERVER['SCRIPT_FILENAME'], 'user' => posix_geteuid(), 'env' => getenv(),
    'vars' => ini_get('max_input_vars'), 'global' => isset($GLOBALS['argv']),
    'title' => function_exists('cli_set_process_title'),
    'cmdline' => base64_encode(file_get_contents('/proc/self/cmdline')),
]), "\\n";
fwrite(STDERR, "to stderr\\n");
exit(7);
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory the web account can pass, unlike pytest's own."""
    with passable_directory() as directory:
        yield directory


@pytest.fixture
def php() -> PhpBinary:
    return PhpBinary(find_php(), ACCOUNT)


def tree_with(place: Path, **scripts: str) -> MoodleTree:
    files = {f"admin/cli/{name}.php": text for name, text in scripts.items()}
    return MoodleTree.open(make_tree(place / "tree", files=files))


def shown(done: CompletedScript) -> dict[str, object]:
    import json

    answer: dict[str, object] = json.loads(done.output_tail.splitlines()[0])
    return answer


def test_the_facts_of_php_are_those_it_runs_moodle_with(php: PhpBinary) -> None:
    facts = php.facts()

    assert facts.version.startswith("8.")
    assert {"core", "json", "zend opcache"} <= facts.extensions
    assert int(facts.settings["max_input_vars"]) >= 5000
    assert facts.bits64 and facts.sapi == "cli"
    assert not any("pw" in name or "save_path" in name for name in facts.settings)


def test_a_php_that_is_not_there_is_named_with_what_to_install() -> None:
    with pytest.raises(Unavailable) as caught:
        find_php("/nowhere/php")

    assert caught.value.code == "php.missing"
    assert "apt install" in caught.value.hint


def test_a_program_that_is_no_php_is_refused() -> None:
    with pytest.raises(Unavailable):
        PhpBinary(Path("/bin/false")).facts()
    with pytest.raises(Unavailable):
        PhpBinary(Path("/bin/echo")).facts()


def test_an_unknown_account_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        PhpBinary(find_php(), "no-such-account").facts()

    assert caught.value.code == "php.account.unknown"


@pytest.mark.skipif(AS_ROOT, reason="root may become any account")
def test_another_account_is_refused_to_an_ordinary_user() -> None:
    with pytest.raises(Refused):
        PhpBinary(find_php(), "root").facts()


def test_a_script_runs_for_its_site_in_its_directory_with_a_clean_environment(
    place: Path, php: PhpBinary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMOODLE_PLANTED", PASSWORD)
    monkeypatch.setenv("VMOODLE_SITE", "another")
    tree = tree_with(place, show=SHOW)

    done = run_script(tree, php, "admin/cli/show.php", ["--a=1", "b c"], site="one", timeout=30)

    saw = shown(done)
    path = str(tree.root / "admin/cli/show.php")
    assert done.exit_status == 7
    assert "to stderr" in done.output_tail
    assert saw["argv"] == saw["server"] == [path, "--a=1", "b c"]
    assert saw["cwd"] == str(tree.root / "admin/cli")
    assert saw["vars"] == "10000"
    environment = saw["env"]
    assert isinstance(environment, dict)
    assert environment["VMOODLE_SITE"] == "one"
    assert "VMOODLE_PLANTED" not in environment
    own = {"PATH", "LANG", "HOME", "USER", "LOGNAME", "VMOODLE_SITE"}
    configuration = {"TZ", "PHPRC", "PHP_INI_SCAN_DIR", "OPENSSL_CONF"}
    assert own <= set(environment)
    assert set(environment) <= own | configuration | {"SSL_CERT_FILE", "SSL_CERT_DIR"}


@pytest.mark.skipif(not AS_ROOT, reason="only root may become the web account")
def test_root_runs_scripts_as_the_web_account(place: Path, php: PhpBinary) -> None:
    done = run_script(tree_with(place, show=SHOW), php, "admin/cli/show.php", site=None, timeout=30)

    assert shown(done)["user"] == pwd.getpwnam("www-data").pw_uid
    assert "VMOODLE_SITE" not in done.output_tail


def test_secret_arguments_reach_the_script_as_any_other_and_no_command_line(
    place: Path, php: PhpBinary
) -> None:
    import base64

    tree = tree_with(place, show=SHOW)
    seen: list[str] = []
    done = run_script(
        tree,
        php,
        "admin/cli/show.php",
        ["--lang=ö", Secret(f"--adminpass={PASSWORD}"), "", "last\nline"],
        site="one",
        timeout=30,
        on_line=seen.append,
    )

    saw = shown(done)
    path = str(tree.root / "admin/cli/show.php")
    assert done.exit_status == 7
    assert saw["argv"] == saw["server"] == [path, "--lang=ö", "***", "", "last\nline"]
    assert (saw["argc"], saw["script"], saw["global"]) == (5, path, True)
    assert saw["cwd"] == str(tree.root / "admin/cli")
    assert saw["title"] is False, "its process title would show the arguments"
    command_line = base64.b64decode(str(saw["cmdline"]))
    assert b"-r" in command_line and PASSWORD.encode() not in command_line
    assert not any(PASSWORD in line for line in [*seen, done.output_tail])


def test_a_secret_is_hidden_in_every_spelling_php_prints(place: Path, php: PhpBinary) -> None:
    echo = """<?php $p = substr($argv[1], 4); echo "raw $p\n", json_encode($p), "\n",
        htmlspecialchars($p), "\n", rawurlencode($p), "\n", urlencode($p), "\n";
        var_export($p);"""

    done = run_script(
        tree_with(place, echo=echo),
        php,
        "admin/cli/echo.php",
        [Secret(f"--p={PASSWORD}")],
        site="one",
        timeout=30,
    )

    assert done.output_tail.splitlines() == ["raw ***", '"***"', "***", "***", "***", "'***'"]


def test_other_secrets_are_hidden_too(place: Path, php: PhpBinary) -> None:
    done = run_script(
        tree_with(place, echo="<?php echo 'dbpass is hunter22';"),
        php,
        "admin/cli/echo.php",
        site="one",
        timeout=30,
        redact=[Secret("hunter22")],
    )

    assert done.output_tail == "dbpass is ***"


def test_an_argument_with_nul_is_refused(place: Path, php: PhpBinary) -> None:
    with pytest.raises(InvalidInput) as caught:
        run_script(tree_with(place), php, "admin/cli/cron.php", ["a\0b"], site="one", timeout=30)

    assert caught.value.code == "exec.argument"


def test_a_fatal_error_shows_in_the_output_and_the_status(place: Path, php: PhpBinary) -> None:
    boom = f"<?php function f($p) {{ throw new Exception('boom'); }} f('{'x' * 10}{'y' * 5}');"
    done = run_script(
        tree_with(place, boom=boom), php, "admin/cli/boom.php", site="one", timeout=30
    )

    assert done.exit_status == 255
    assert "boom" in done.output_tail
    assert "xxxxx" not in done.output_tail, "an argument in a stack trace may be a password"


def test_a_script_that_a_signal_ended_has_the_shells_status(place: Path, php: PhpBinary) -> None:
    die = "<?php posix_kill(getmypid(), 9);"

    done = run_script(tree_with(place, die=die), php, "admin/cli/die.php", site="one", timeout=30)

    assert done.exit_status == 137


def test_lines_arrive_while_the_script_runs(place: Path, php: PhpBinary) -> None:
    tree = tree_with(
        place,
        wait="""<?php echo "ready\n"; $end = microtime(true) + 20;
            while (!file_exists($argv[1]) && microtime(true) < $end) { usleep(10000);
            clearstatcache(); } echo file_exists($argv[1]) ? "seen\n" : "never\n";""",
    )
    flag = place / "flag"

    done = run_script(
        tree,
        php,
        "admin/cli/wait.php",
        [str(flag)],
        site="one",
        timeout=30,
        on_line=lambda line: flag.touch() if line == "ready" else None,
    )

    assert done.output_tail.splitlines() == ["ready", "seen"]


def test_a_script_that_takes_too_long_is_killed_with_all_it_started(
    place: Path, php: PhpBinary
) -> None:
    tree = tree_with(
        place,
        hang="""<?php pclose(popen('sleep 300 >/dev/null 2>&1 & echo $! >&2', 'r'));
            echo "mine\n"; sleep(300);""",
    )
    lines: list[str] = []

    with pytest.raises(Unavailable) as caught:
        run_script(tree, php, "admin/cli/hang.php", site="one", timeout=4, on_line=lines.append)

    assert caught.value.code == "php.timeout"
    assert "mine" in caught.value.message
    child = next(int(line) for line in lines if line.isdigit())
    wait_until(lambda: not lives(child), "the script's child was left running")


def test_a_child_left_behind_does_not_keep_the_caller(place: Path, php: PhpBinary) -> None:
    leave = """<?php
        $child = proc_open(['sleep', '60'], [1 => STDOUT], $pipes);
        echo proc_get_status($child)['pid'];
        posix_kill(getmypid(), 15);"""

    done = run_script(
        tree_with(place, leave=leave), php, "admin/cli/leave.php", site="one", timeout=40
    )

    assert done.exit_status == 143
    os.kill(int(done.output_tail), signal.SIGKILL)


def test_a_killed_caller_leaves_no_script_running(place: Path, php: PhpBinary) -> None:
    tree = tree_with(
        place, hang="<?php file_put_contents('php://stdout', getmypid() . \"\\n\"); sleep(300);"
    )
    code = (
        "from pathlib import Path\n"
        "from vmoodle.moodle.php.binary import PhpBinary\n"
        "from vmoodle.moodle.scripts.script import run_script\n"
        "from vmoodle.moodle.code.tree import MoodleTree\n"
        f"run_script(MoodleTree.open({str(tree.root)!r}), PhpBinary(Path({str(php.path)!r}),"
        f" {ACCOUNT!r}), 'admin/cli/hang.php', site='one', timeout=300,"
        " on_line=lambda line: print(line, flush=True))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        script = int(caller.stdout.readline())
        assert lives(script)
        caller.kill()

    wait_until(lambda: not lives(script), "the script outlived its caller")


@pytest.mark.skipif(not AS_ROOT, reason="only root may become the web account")
def test_what_the_web_account_cannot_reach_is_known(place: Path) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    (closed / "file").touch()
    (place / "file").touch(mode=0o644)

    assert can_reach(place / "file", ACCOUNT)
    assert not can_reach(closed / "file", ACCOUNT)
    assert not can_reach(closed, ACCOUNT)
    assert not can_reach(place / "none", ACCOUNT)


def test_a_tree_without_components_gives_no_cache(place: Path, php: PhpBinary) -> None:
    with pytest.raises(InvalidInput):
        build_component_cache(tree_with(place), php, place / "components.php")

    assert not (place / "components.php").exists()


@on_real_trees
def test_a_real_trees_component_cache_is_the_one_moodle_builds(
    place: Path, real_tree: Path
) -> None:
    tree, php, target = MoodleTree.open(real_tree), PhpBinary(find_php()), place / "c.php"

    build_component_cache(tree, php, target)

    show = "require $argv[1]; echo $cache['version'], ' ', $cache['plugins']['mod']['forum'];"
    said = subprocess.run(
        [php.path, "-r", show, "--", target], capture_output=True, text=True, check=True
    ).stdout
    assert said == f"{tree.version.version} {tree.webroot}/mod/forum"
    assert [entry.name for entry in place.iterdir()] == ["c.php"]


@on_real_trees
def test_real_scripts_take_secret_arguments(real_tree: Path) -> None:
    tree = MoodleTree.open(real_tree)

    done = run_script(
        tree,
        PhpBinary(find_php()),
        "admin/cli/install.php",
        ["--help", Secret(f"--adminpass={PASSWORD}")],
        site="one",
        timeout=60,
    )

    assert done.exit_status == 0
    assert "--adminpass" in done.output_tail
    assert PASSWORD not in done.output_tail
