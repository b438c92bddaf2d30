from typing import Any

from django.db import migrations, models
from django.db.models import F


def _from_steps_done(apps: Any, _schema_editor: Any) -> None:
    """Count what an operation of an earlier release that has not ended may have begun."""
    operations = apps.get_model("registry", "Operation").objects
    ended = operations.filter(state__in=["done", "reverted", "cancelled"])
    operations.exclude(id__in=ended.values("id")).filter(steps_total__gt=0).update(
        steps_entered=F("steps_done") + 1
    )


class Migration(migrations.Migration):
    dependencies = [("registry", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="operation",
            name="steps_entered",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.RunPython(_from_steps_done, migrations.RunPython.noop),
    ]
