"""The PHP command line: where it is, what it can do, and how VMoodle starts it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vmoodle.errors import Unavailable
from vmoodle.moodle.php import account as web_account

SITE_VARIABLE = "VMOODLE_SITE"

# Every PHP VMoodle starts. Moodle raises memory_limit itself where a script needs more
# (raise_memory_limit), so the administrator's own stands. Arguments in stack traces could be
# passwords.
SETTINGS = {
    "max_input_vars": "10000",
    "display_errors": "stderr",
    "zend.exception_ignore_args": "1",
    "opcache.enable_cli": "0",
}

_NAMES = ("php", *(f"php8.{minor}" for minor in range(5, 0, -1)))
_TIMEOUT_SECONDS = 60
_DEBIAN = (
    "On Debian: apt install php-cli php-mysql php-pgsql php-xml php-mbstring php-curl php-zip "
    "php-gd php-intl php-soap; or set php.binary in vmoodle.toml."
)
# Settings that may hold a password or a path to one are not facts about PHP.
_PRIVATE_SETTING = re.compile(r"pw$|passw|save_path|secret|token", re.IGNORECASE)
_FACTS = """
echo json_encode([
    'version' => PHP_VERSION,
    'extensions' => array_map('strtolower', get_loaded_extensions()),
    'settings' => ini_get_all(null, false),
    'bits64' => PHP_INT_SIZE >= 8,
    'sapi' => PHP_SAPI,
], JSON_PARTIAL_OUTPUT_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE);
"""


@dataclass(frozen=True)
class PhpFacts:
    """What a PHP binary is; extensions in lower case, settings as VMoodle runs it."""

    version: str
    extensions: frozenset[str]
    settings: dict[str, str]
    bits64: bool
    binary: Path
    sapi: str


def keeping_compiled(directory: Path | None) -> dict[str, str]:
    """Return the settings with which PHP keeps compiled code in a directory, none for no directory.

    It is the web account's own. A script that changed since is compiled anew.
    """
    if directory is None:
        return {}
    return {
        "opcache.enable_cli": "1",
        "opcache.file_cache": str(directory),
        "opcache.file_cache_only": "1",
    }


@dataclass(frozen=True)
class PhpBinary:
    """A PHP command line and the account it runs as; None is the caller's own."""

    path: Path
    account: str | None = None

    def facts(self) -> PhpFacts:
        """Return what this PHP is, asking it once; raise Unavailable when it does not start."""
        return self._facts

    def command(
        self,
        args: Sequence[str],
        *,
        site: str | None = None,
        die_with_parent: bool = False,
        settings: dict[str, str] | None = None,
    ) -> tuple[list[str], dict[str, str]]:
        """Return the argv and environment that run PHP with these arguments for a site.

        `die_with_parent` needs a caller that waits in the starting thread (see account.prefix).
        """
        argv = [*web_account.prefix(self.account, die_with_parent=die_with_parent), str(self.path)]
        for name, value in {**SETTINGS, **(settings or {})}.items():
            argv += ["-d", f"{name}={value}"]
        environment = web_account.environment(self.account)
        if site is not None:
            environment[SITE_VARIABLE] = site
        return [*argv, *args], environment

    def ask(self, code: str, *, given: bytes = b"", args: Sequence[str] = ()) -> bytes:
        """Run a short piece of PHP and return its output; `given` is its standard input.

        Raise Unavailable `php.failed` when it does not end well within a minute.
        """
        argv, environment = self.command(["-r", code, "--", *args], die_with_parent=True)
        try:
            done = subprocess.run(
                argv,
                env=environment,
                cwd="/",
                input=given,
                capture_output=True,
                timeout=_TIMEOUT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _failed(self.path, "it does not start or does not end") from error
        if done.returncode != 0:
            raise _failed(self.path, _last_line(done.stderr) or f"status {done.returncode}")
        return done.stdout

    @cached_property
    def _facts(self) -> PhpFacts:
        output = self.ask(_FACTS)
        try:
            # A start-up warning of PHP's own may stand before the answer.
            answer = json.loads(output[output.index(b'{"version"') :])
        except ValueError as error:
            raise _failed(self.path, "it does not say what it is") from error
        if answer["sapi"] != "cli":
            raise Unavailable(
                "php.sapi", f"{self.path} is PHP's {answer['sapi']}, not its command line.", _DEBIAN
            )
        settings = {
            name: str(value or "")
            for name, value in answer["settings"].items()
            if not _PRIVATE_SETTING.search(name)
        }
        extensions = frozenset(answer["extensions"])
        return PhpFacts(
            answer["version"], extensions, settings, answer["bits64"], self.path, answer["sapi"]
        )


def find_php(setting: str | Path | None = None) -> Path:
    """Return the path of PHP's command line: the one set, else the first found in PATH.

    Raise Unavailable `php.missing`, saying what to install.
    """
    for name in (str(setting),) if setting else _NAMES:
        found = shutil.which(Path(name).expanduser() if os.sep in name else name)
        if found:
            return Path(found).absolute()
    what = f"{setting} is not an executable PHP" if setting else "PHP's command line is missing"
    raise Unavailable("php.missing", f"{what}.", _DEBIAN)


def _last_line(output: bytes) -> str:
    lines = output.decode("utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""


def _failed(path: Path, reason: str) -> Unavailable:
    return Unavailable(
        "php.failed",
        f"PHP ({path}) failed: {reason}.",
        f"Run `{path} -v` as the web account; it must start without errors.",
    )
