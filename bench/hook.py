"""What the hook adds to a request, beside a bare static `config.php`, under PHP-FPM with opcache.

Measured inside PHP around `require config.php`, one worker, both kinds in turn. Limit: 25 µs added,
the same within noise whatever the number of sites; no database connection.
"""

from __future__ import annotations

import random
import statistics
import tempfile
from pathlib import Path

from bench.fleet_map import host, site, sites
from bench.fpm import fpm, request, web_group
from vmoodle.hook.config_php import render_config_php
from vmoodle.hook.entry import compile_entry
from vmoodle.hook.install import install_hook
from vmoodle.hook.map import HostMap

SIZES = (10, 1_000, 10_000)
RUNS = 3_000
WARM = 300
LIMIT_MICROSECONDS = 25
SETTINGS = {
    "opcache.enable": "1",
    "opcache.validate_timestamps": "0",
    "opcache.revalidate_freq": "3600",
    "opcache.preload": "",
    # The files measured were written just now; by default PHP compiles such ones at each request.
    "opcache.file_update_protection": "0",
    "display_errors": "stderr",
}

_TIMED = """<?php
$start = hrtime(true);
require __DIR__ . '/config.php';
$taken = hrtime(true) - $start;
header('Content-Type: text/plain');
echo $taken, ' ', count((array) $CFG), ' ', $CFG->dbname;
"""
# PHP makes $_SERVER where it is first used. Moodle's lib/setup.php (4.5) uses it in every request,
# so that it costs the same with and without the hook.
_SETUP = "<?php\n$_SERVER['REMOTE_ADDR'] ?? '';\n"
_SOCKETS = """<?php
require __DIR__ . '/config.php';
$seen = 0;
foreach (scandir('/proc/self/fd') as $descriptor) {
    $seen += str_starts_with((string) @readlink("/proc/self/fd/$descriptor"), 'socket:') ? 1 : 0;
}
echo $seen;
"""
_STATIC = """<?php
unset($CFG);
global $CFG;
$CFG = new stdClass();
{assignments}
require_once(__DIR__ . '/lib/setup.php');
"""


def tree(directory: Path, config: str) -> Path:
    """Make a code tree of nothing but a configuration and the scripts that measure it."""
    (directory / "lib").mkdir(parents=True)
    (directory / "lib" / "setup.php").write_text(_SETUP)
    (directory / "config.php").write_text(config)
    (directory / "timed.php").write_text(_TIMED)
    (directory / "sockets.php").write_text(_SOCKETS)
    return directory


def static_config() -> str:
    """Return the `config.php` a person would write for site 0, with every setting of its entry."""
    assignments = "\n".join(
        f"$CFG->{name} = {_php(value)};" for name, value in compile_entry(site(0))["cfg"].items()
    )
    return _STATIC.format(assignments=assignments)


def _php(value: object) -> str:
    if isinstance(value, dict):
        return "[" + ", ".join(f"{_php(k)} => {_php(v)}" for k, v in value.items()) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{value}'" if isinstance(value, str) else str(value)


def measure(
    socket: Path, static: Path, hooked: Path, count: int
) -> tuple[list[float], list[float]]:
    """Return the microseconds of each request: the static configuration's, the hook's."""
    chosen = random.Random(count)  # noqa: S311
    times: tuple[list[float], list[float]] = ([], [])
    for run in range(WARM + RUNS):
        number = chosen.randrange(count)
        for kept, script, wanted in ((times[0], static, 0), (times[1], hooked, number)):
            taken, _settings, name = request(socket, script / "timed.php", host(number)).split()
            if name != f"vm_school{wanted}":
                raise RuntimeError(f"{host(number)} was given the database {name}")
            if run >= WARM:
                kept.append(int(taken) / 1000)
    return times


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory(prefix="vmoodle-bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        hook = install_hook(directory / "hook")
        static = tree(directory / "static", static_config())
        trees = {}
        for count in SIZES:
            HostMap(directory / f"map{count}", web_group()).publish_all(sites(count))
            config = render_config_php(hook, directory / f"map{count}", "main")
            trees[count] = tree(directory / f"tree{count}", config)
        with fpm(directory, SETTINGS) as socket:
            print(f"median of {RUNS} requests each, µs   limit: {LIMIT_MICROSECONDS} added")
            print(f"{'sites':>8}{'static':>10}{'hook':>10}{'added':>10}{'ratio':>8}")
            for count in SIZES:
                bare, hooked = map(statistics.median, measure(socket, static, trees[count], count))
                print(
                    f"{count:>8}{bare:>10.1f}{hooked:>10.1f}{hooked - bare:>10.1f}"
                    f"{hooked / bare:>8.1f}"
                )
            bare_sockets = int(request(socket, static / "sockets.php", host(0)))
            sockets = int(request(socket, trees[SIZES[-1]] / "sockets.php", host(0)))
            print(f"connections to a database that the hook opened: {sockets - bare_sockets}")


if __name__ == "__main__":
    main()
