from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("scheduled_tasks", "0001_initial")]
    operations = []
