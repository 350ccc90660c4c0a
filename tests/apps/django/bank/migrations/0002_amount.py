from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("bank", "0001_initial")]
    operations = [
        migrations.AddField(model_name="transfer", name="amount", field=models.IntegerField(default=1)),
    ]
