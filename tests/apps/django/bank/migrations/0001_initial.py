import django.db.models.deletion
from django.db import migrations, models

KEY = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")


def account(related_name):
    return models.ForeignKey(
        on_delete=django.db.models.deletion.PROTECT, related_name=related_name, to="bank.account"
    )


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Account",
            fields=[
                ("id", KEY),
                ("owner", models.CharField(max_length=50, unique=True)),
                ("balance", models.IntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="Label",
            fields=[("id", KEY), ("name", models.CharField(max_length=50, unique=True))],
        ),
        migrations.CreateModel(
            name="Transfer",
            fields=[
                ("id", KEY),
                ("worker", models.IntegerField(db_index=True)),
                ("turn", models.IntegerField()),
                ("made", models.DateTimeField(auto_now_add=True)),
                ("labels", models.ManyToManyField(to="bank.label")),
                ("source", account("sent")),
                ("target", account("received")),
            ],
            options={"unique_together": {("worker", "turn")}},
        ),
    ]
