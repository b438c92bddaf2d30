from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("registry", "0009_snapshot_added_bytes")]

    operations = [
        migrations.AddField(
            model_name="template",
            name="content_left",
            field=models.PositiveIntegerField(default=0),
        )
    ]
