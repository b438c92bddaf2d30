"""Settings of new sites leave the parameters; the names of adopted databases may be longer."""

from typing import Any

from django.db import migrations, models


def _move_settings(apps: Any, _schema_editor: Any) -> None:
    """Take the settings out of the parameters; only what has not ended keeps them."""
    operations = apps.get_model("registry", "Operation").objects
    ended = {"done", "reverted", "cancelled"}
    for row in operations.filter(parameters__has_key="settings"):
        token = row.parameters.pop("settings")
        row.settings_encrypted = "" if row.state in ended else token
        row.save(update_fields=["parameters", "settings_encrypted"])


class Migration(migrations.Migration):
    dependencies = [("registry", "0006_template_of_snapshot")]

    operations = [
        migrations.AddField(
            model_name="operation",
            name="settings_encrypted",
            field=models.TextField(blank=True, default=""),
        ),
        migrations.RunPython(_move_settings, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="site",
            name="database",
            field=models.CharField(max_length=80),
        ),
        migrations.AlterField(
            model_name="site",
            name="account",
            field=models.CharField(max_length=80),
        ),
        migrations.AlterField(
            model_name="schedule",
            name="expression",
            field=models.CharField(blank=True, default="", max_length=200),
        ),
    ]
