from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("registry", "0013_saved_queries")]

    operations = [
        migrations.AddField(
            model_name="snapshot",
            name="missing_files",
            field=models.PositiveIntegerField(default=0),
        ),
    ]
