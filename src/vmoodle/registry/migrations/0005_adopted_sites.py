from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("registry", "0004_snapshot_schedule")]

    operations = [
        migrations.AddField(
            model_name="site",
            name="adopted",
            field=models.BooleanField(default=False),
        ),
        migrations.RemoveConstraint(model_name="site", name="site_account_unique"),
        migrations.AddConstraint(
            model_name="site",
            constraint=models.UniqueConstraint(
                fields=["server", "account"],
                condition=Q(adopted=False),
                name="site_account_unique",
            ),
        ),
    ]
