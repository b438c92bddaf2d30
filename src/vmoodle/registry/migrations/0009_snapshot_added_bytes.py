from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("registry", "0008_warm_copy_place")]

    operations = [migrations.RemoveField(model_name="snapshot", name="added_bytes")]
