import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("registry", "0015_run_undo")]

    operations = [
        migrations.RemoveIndex(model_name="runsite", name="run_site_id"),
        migrations.AlterField(
            model_name="runsite",
            name="run",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="sites",
                to="registry.run",
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(fields=["created_at"], name="run_created_at"),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("state", "running")), fields=["state"], name="run_running"
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("undo_of", ""), _negated=True),
                fields=["undo_of"],
                name="run_undo_of",
            ),
        ),
        migrations.AddIndex(
            model_name="runsite",
            index=models.Index(fields=["site_id", "run"], name="run_site_id_run"),
        ),
        migrations.AddIndex(
            model_name="runsite",
            index=models.Index(fields=["shortname"], name="run_site_shortname"),
        ),
    ]
