from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("registry", "0009_snapshot_added_bytes")]

    operations = [
        migrations.AddField(
            model_name="snapshot",
            name="missing_files",
            field=models.PositiveIntegerField(default=0),
        ),
    ]
