"""The `vmoodle` program: its nouns, and how errors end it."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
from typing import Annotated

import typer

# Typer carries its own Click and gives this class no other name.
from typer._click.exceptions import UsageError

from vmoodle import __version__
from vmoodle.cli import (
    admin,
    backup,
    baseline,
    cache,
    checks,
    codebase,
    command,
    config,
    copy,
    cron,
    demo,
    doctor,
    forced,
    hook,
    maintenance,
    operation,
    plugin,
    query,
    role,
    run,
    server,
    session,
    settings,
    site,
    snapshot,
    sql,
    stop,
    target,
    task,
    template,
    upgrade,
    web_config,
    worker,
)
from vmoodle.cli import (
    exec as exec_command,
)
from vmoodle.cli.option_words import with_options, word_of_call
from vmoodle.cli.output import say
from vmoodle.cli.visible import visible, visible_json
from vmoodle.errors import InvalidInput, VMoodleError
from vmoodle.fleet.parameter_words import calling

GARBAGE_THRESHOLD = 50_000
"""Objects made, less those freed, after which Python looks for cycles; its default is 700."""

app = typer.Typer(
    name="vmoodle",
    help="One Moodle code tree, many independent Moodle sites.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(site.app, name="site")
app.add_typer(template.app, name="template")
app.add_typer(snapshot.app, name="snapshot")
app.add_typer(codebase.app, name="codebase")
app.add_typer(server.app, name="server")
app.add_typer(operation.app, name="operation")
app.add_typer(command.app, name="command")
app.add_typer(run.app, name="run")
app.add_typer(query.app, name="query")
app.add_typer(config.app, name="config")
app.add_typer(baseline.app, name="baseline")
app.add_typer(maintenance.app, name="maintenance")
app.add_typer(cache.app, name="cache")
app.add_typer(session.app, name="session")
app.add_typer(admin.app, name="admin")
app.add_typer(task.app, name="task")
app.add_typer(cron.app, name="cron")
app.add_typer(copy.app, name="copy")
app.add_typer(plugin.app, name="plugin")
app.add_typer(role.app, name="role")
app.add_typer(target.app, name="target")
app.add_typer(upgrade.app, name="upgrade")
app.add_typer(forced.app, name="forced")
app.add_typer(hook.app, name="hook")
app.add_typer(settings.app, name="settings")
app.add_typer(backup.app, name="backup")
app.command("exec", context_settings={"ignore_unknown_options": False})(exec_command.execute)
app.command("sql")(sql.sql)
app.command("checks")(checks.checks)
app.command("web-config")(web_config.web_config)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)
app.command("worker")(worker.worker)
app.command("stop")(stop.stop)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vmoodle {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """One Moodle code tree, many independent Moodle sites."""


def main() -> None:
    """Run the command line; every error ends in a message, a hint and a documented status."""
    # Importing Django and the durable engine makes many objects and no garbage (0.1 s of 0.7).
    gc.set_threshold(GARBAGE_THRESHOLD)
    status = _run()
    # Not sys.exit: the durable engine's idle threads would be waited for (0.3 s).
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def _run() -> int:
    try:
        return _carry_out_the_words()
    except VMoodleError as error:
        _report(error)
        return error.exit_status
    except KeyboardInterrupt:
        typer.echo("\ninterrupted", err=True)
        return 130
    except BrokenPipeError:
        return 1
    except Exception as error:
        if os.environ.get("VMOODLE_DEBUG"):
            raise
        _report(
            VMoodleError(
                "internal",
                f"VMoodle met an error it did not foresee: {type(error).__name__}.",
                "Run it again with VMOODLE_DEBUG=1 and report what it prints.",
            )
        )
        return 1


def _carry_out_the_words() -> int:
    """Run the command the words name; errors of its own pass."""
    try:
        # Not standalone: what is wrong with the words comes here, as any other error does.
        with calling(word_of_call):
            status = app(standalone_mode=False)
    except UsageError as error:
        return _report_usage(error)
    except typer.Abort:
        typer.echo("Aborted!", err=True)
        return 1
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return status if isinstance(status, int) else 0


def _json_wanted() -> bool:
    """Tell whether our own words ask for JSON; those behind -- are a script's."""
    words = sys.argv[1:]
    return "--json" in (words[: words.index("--")] if "--" in words else words)


def _report_usage(error: UsageError) -> int:
    if _json_wanted():
        command = error.ctx.command_path if error.ctx else "vmoodle"
        message = error.format_message() or "A command is missing."
        _report(InvalidInput("usage", message, f"`{command} --help` tells what it takes."))
    else:
        error.show()
    return error.exit_code


def _report(error: VMoodleError) -> None:
    hint = with_options(error.code, error.hint)
    if _json_wanted():
        problem = error.as_problem() | {"hint": hint}
        say(visible_json(json.dumps(problem, ensure_ascii=False)))
        return
    colour = sys.stderr.isatty()
    label = typer.style("error", fg="red", bold=True) if colour else "error"
    typer.echo(f"{label}: {visible(error.message)} [{error.code}]", err=True)
    if hint:
        say(f"hint: {hint}")
