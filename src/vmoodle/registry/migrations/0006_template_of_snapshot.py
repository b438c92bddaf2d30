from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("registry", "0005_adopted_sites")]

    operations = [
        migrations.AddField(
            model_name="template",
            name="snapshot",
            field=models.CharField(blank=True, default="", max_length=120),
        ),
    ]
