from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("registry", "0014_snapshot_missing_files")]

    operations = [
        migrations.AddField(
            model_name="run",
            name="undo_of",
            field=models.CharField(blank=True, default="", max_length=12),
        ),
        migrations.AddField(
            model_name="runsite",
            name="undo_encrypted",
            field=models.TextField(blank=True, default=""),
        ),
    ]
