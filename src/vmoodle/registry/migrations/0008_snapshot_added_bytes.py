from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("registry", "0007_operation_settings")]

    operations = [migrations.RemoveField(model_name="snapshot", name="added_bytes")]
