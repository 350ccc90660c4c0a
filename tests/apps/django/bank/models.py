from django.db import models


class Account(models.Model):
    owner = models.CharField(max_length=50, unique=True)
    balance = models.IntegerField()


class Label(models.Model):
    name = models.CharField(max_length=50, unique=True)


class Transfer(models.Model):
    source = models.ForeignKey(Account, models.PROTECT, related_name="sent")
    target = models.ForeignKey(Account, models.PROTECT, related_name="received")
    labels = models.ManyToManyField(Label)
    worker = models.IntegerField(db_index=True)
    turn = models.IntegerField()
    made = models.DateTimeField(auto_now_add=True)
    amount = models.IntegerField(default=1)

    class Meta:
        unique_together = [("worker", "turn")]
