from typing import Any

import django.db.models.deletion
from django.db import migrations, models


def take_from_template(apps: Any, _schema_editor: Any) -> None:
    for copy in apps.get_model("registry", "WarmCopy").objects.select_related("template"):
        copy.server_id = copy.template.server_id
        copy.table_prefix = copy.template.table_prefix
        copy.save(update_fields=["server", "table_prefix"])


class Migration(migrations.Migration):
    dependencies = [("registry", "0007_operation_settings")]

    operations = [
        migrations.AddField(
            model_name="warmcopy",
            name="server",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="warm_copies",
                to="registry.databaseserver",
            ),
        ),
        migrations.AddField(
            model_name="warmcopy",
            name="table_prefix",
            field=models.CharField(default="", max_length=10),
            preserve_default=False,
        ),
        migrations.RunPython(take_from_template, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="warmcopy",
            name="server",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="warm_copies",
                to="registry.databaseserver",
            ),
        ),
    ]
