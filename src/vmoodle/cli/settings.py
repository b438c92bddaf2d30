"""`vmoodle settings`: VMoodle's own settings."""

from __future__ import annotations

import typer

from vmoodle.cli.output import Json, print_block, print_json

app = typer.Typer(help="VMoodle's own settings and where its home is.", no_args_is_help=True)


@app.command()
def show(json: Json = False) -> None:
    """Show every setting as it is in force."""
    from vmoodle.home import locate_home
    from vmoodle.settings_file import load_settings

    home = locate_home()
    settings = load_settings(home.settings_file)
    facts: dict[str, object] = {"home": str(home.path)}
    for section in type(settings).model_fields:
        values = getattr(settings, section)
        for option in type(values).model_fields:
            facts[f"{section}.{option}"] = _shown(getattr(values, option))
    print_json(facts) if json else print_block(facts)


@app.command()
def example(json: Json = False) -> None:
    """Print a settings file with every option, its meaning and its default."""
    from vmoodle.settings_file import documented_toml

    text = documented_toml()
    print_json({"toml": text}) if json else typer.echo(text, nl=False)


@app.command()
def key(json: Json = False) -> None:
    """Print a new random key for an encrypted store (`snapshots.key`); it is kept nowhere."""
    from vmoodle.store.keys import new_key

    made = new_key().reveal()
    print_json({"key": made}) if json else typer.echo(made)


def _shown(value: object) -> object:
    from vmoodle.secret import Secret

    if isinstance(value, Secret):
        return str(value) if value else ""
    return value if isinstance(value, int | bool) else str(value or "")
