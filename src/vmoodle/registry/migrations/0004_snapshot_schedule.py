"""Schedules and when they were last due; why a drill failed; pins that end by themselves."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0003_templates_snapshots"),
    ]

    operations = [
        migrations.CreateModel(
            name="Schedule",
            fields=[
                ("name", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("expression", models.CharField(blank=True, default="", max_length=100)),
                ("since", models.DateTimeField()),
                ("due_at", models.DateTimeField(null=True)),
                ("operation_id", models.CharField(blank=True, default="", max_length=32)),
            ],
        ),
        # An id names its site: with a long shortname it was longer than its column.
        migrations.AlterField(
            model_name="snapshot",
            name="id",
            field=models.CharField(max_length=120, primary_key=True, serialize=False),
        ),
        migrations.AddField(
            model_name="snapshot",
            name="pinned_until",
            field=models.CharField(blank=True, default="", max_length=20),
        ),
        migrations.AddField(
            model_name="snapshot",
            name="drill_fault",
            field=models.CharField(blank=True, default="", max_length=500),
        ),
    ]
