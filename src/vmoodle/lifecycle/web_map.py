"""Keep the web server's map as the registry has the sites, and tell the web server of a change.

Only where the settings name a file for it (`web.map`). Whoever publishes a site calls `follow`. A
web server that cannot be told leaves the change on record until it could be: sites are published
all the same, and an upgrade, which depends on it, goes back.
"""

from __future__ import annotations

import shlex
import subprocess
from contextlib import suppress
from pathlib import Path

from vmoodle.errors import Conflict, Failed, InvalidInput, VMoodleError
from vmoodle.files import write_atomically
from vmoodle.hook.address import parse_wwwroot
from vmoodle.hook.web_server import Served, Server, render_map, render_server
from vmoodle.installation import Installation
from vmoodle.lifecycle.scratch_copy import every_published_copy
from vmoodle.moodle.code.tree import PUBLIC
from vmoodle.moodle.php.account import environment
from vmoodle.registry import sites
from vmoodle.registry.models import Codebase, SiteState

OFF_THE_MAP = (SiteState.DELETING, SiteState.DELETED)
"""Sites whose address is not theirs any more."""

_RELOAD_SECONDS = 60.0


def served(installation: Installation) -> Served:
    """Return where every address is served from; raise InvalidInput `codebase.none`."""
    roots = _web_roots()
    if not roots:
        raise InvalidInput(
            "codebase.none", "No codebase is known yet.", "vmoodle codebase add NAME PATH"
        )
    found: dict[str, str] = {}
    everyone = sites.every().exclude(state__in=OFF_THE_MAP).prefetch_related("aliases")
    for site in everyone.iterator(chunk_size=500):
        found |= dict.fromkeys(sites.alias_hosts(site), site.codebase.name)
        found[parse_wwwroot(site.wwwroot).key] = site.codebase.name
    for copy in every_published_copy(installation):
        found[copy.address.key] = copy.codebase
    return Served(found, roots)


def map_text(installation: Installation, server: Server) -> str:
    """Return what the web server's map is to say; raise as `served` and `render_map`."""
    return render_map(server, served(installation))


def server_text(installation: Installation, server: Server, *, fpm: str, map_file: str) -> str:
    """Return the server that uses the map; raise as `served` and `render_server`."""
    return render_server(server, served(installation), fpm=fpm, map_file=map_file)


def write(installation: Installation, server: Server, path: Path) -> bool:
    """Write the map to a file, whole at once; return whether it was another before.

    Raise Failed `web.map` where it cannot be.
    """
    text = map_text(installation, server)
    try:
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return False
        write_atomically(path, text, mode=0o644)
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(
            "web.map",
            f"The web server's map {path} cannot be written: {error}.",
            "Name a file in a directory that VMoodle's account may write.",
        ) from error
    return True


def refuse_stale(installation: Installation, server: Server, path: Path) -> None:
    """Raise Conflict `web.stale` where a written map is not what it would be now."""
    try:
        current = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        current = ""
    if current != map_text(installation, server):
        raise Conflict(
            "web.stale",
            f"The web server's map {path} is not what the registry says now.",
            f"vmoodle web-config {server} --write {path}, then reload the web server.",
        )


def follow(installation: Installation) -> None:
    """Write the map of the settings where it is another by now, and tell the web server.

    Called by whoever holds the lock of publishing. What fails is kept for `trouble`; nothing is
    raised.
    """
    path = installation.settings.web.map
    if path is None or not Codebase.objects.exists():
        return
    pending = _pending(installation)
    try:
        # On record first: a call that is killed here has the next one tell the web server.
        if not pending.exists() and not _differs(installation, path):
            return
        write_atomically(pending, "The web server was not told of the last change.\n", mode=0o600)
        write(installation, _server(installation), path)
        _reload(installation)
        pending.unlink(missing_ok=True)
    except VMoodleError as error:
        _keep_trouble(pending, f"{error.message} {error.hint}")
    except OSError as error:
        _keep_trouble(pending, f"The web server was not told: {error}.")


def is_behind(installation: Installation) -> bool:
    """Tell whether an earlier change could not be told to the web server."""
    return installation.settings.web.map is not None and _pending(installation).exists()


def trouble(installation: Installation) -> str:
    """Return why the web server does not follow, empty where it does or is not asked to."""
    path = installation.settings.web.map
    if path is None:
        return ""
    with suppress(FileNotFoundError):
        return _pending(installation).read_text(encoding="utf-8").strip()
    if Codebase.objects.exists() and _differs(installation, path):
        return f"The web server's map {path} is not what the registry says."
    return ""


def refuse_trouble(installation: Installation) -> None:
    """Raise Failed `web.reload` where the web server does not follow."""
    if words := trouble(installation):
        raise Failed("web.reload", words, "Mend it, then: vmoodle doctor --mend")


def _keep_trouble(pending: Path, words: str) -> None:
    with suppress(OSError):
        write_atomically(pending, f"{words}\n", mode=0o600)


def _differs(installation: Installation, path: Path) -> bool:
    try:
        refuse_stale(installation, _server(installation), path)
    except Conflict:
        return True
    return False


def _reload(installation: Installation) -> None:
    words = shlex.split(installation.settings.web.reload)
    if not words:
        return
    try:
        ended = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, check=False,
            timeout=_RELOAD_SECONDS, env=environment(None),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _not_told(str(error)) from error
    if ended.returncode != 0:
        said = (ended.stderr or ended.stdout).decode("utf-8", "replace").strip()
        raise _not_told(f"it ended with status {ended.returncode}: {said[-300:]}")


def _not_told(why: str) -> Failed:
    return Failed(
        "web.reload",
        f"The command web.reload failed: {why}.",
        "Run it by hand, and see what the web server says of its configuration.",
    )


def _server(installation: Installation) -> Server:
    return installation.settings.web.server


def _web_roots() -> dict[str, Path]:
    """Return the web root of each codebase by name, the oldest first."""
    return {
        row.name: Path(row.path) / PUBLIC if row.layout == PUBLIC else Path(row.path)
        for row in Codebase.objects.order_by("id")
    }


def _pending(installation: Installation) -> Path:
    return installation.home.run / "web-map.pending"


def checked_file(text: str) -> Path:
    """Return the path of a file that is to be written; raise InvalidInput `web.file`."""
    path = Path(text).expanduser()
    if path.is_dir() or not path.parent.is_dir():
        raise InvalidInput(
            "web.file", f"{path} cannot be a file.", "Name a file in a directory that is there."
        )
    return path.absolute()
