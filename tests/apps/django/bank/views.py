from common import choose, equal
from django.db import connection, transaction
from django.db.models import F, Sum
from django.http import JsonResponse

from .models import Account, Label, Transfer


class Undo(Exception):
    """Raised to roll a transaction back."""


def transfer(request, worker, turn):
    """Moves one unit; every fourth turn is first done and rolled back."""
    for undone in (True, False) if turn % 4 == 0 else (False,):
        try:
            with transaction.atomic():
                made = move(worker, turn)
                with transaction.atomic():  # a savepoint
                    made.labels.add(Label.objects.get_or_create(name=f"label {worker % 5}")[0])
                if undone:
                    raise Undo
        except Undo:
            equal("rolled back", Transfer.objects.filter(worker=worker, turn=turn).exists(), False)
    return JsonResponse({"id": made.pk})


def move(worker, turn):
    low, high = choose(worker, turn)
    accounts = Account.objects.select_for_update().order_by("pk").in_bulk([low, high])
    Account.objects.filter(pk=low).update(balance=F("balance") - 1)
    Account.objects.filter(pk=high).update(balance=F("balance") + 1)
    return Transfer.objects.create(source=accounts[low], target=accounts[high], worker=worker, turn=turn)


def report(request, worker):
    """Reads a worker's transfers with all related rows."""
    mine = Transfer.objects.filter(worker=worker).order_by("-turn")
    latest = mine.select_related("source", "target").prefetch_related("labels")[:5]
    return JsonResponse(
        {
            "count": mine.count(),
            "moved": mine.aggregate(Sum("amount"))["amount__sum"],
            "latest": [[t.turn, t.source.pk, t.target.pk, [l.name for l in t.labels.all()]] for t in latest],
            "settings": settings_of_session(),
        }
    )


def settings_of_session():
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@session.time_zone, @@session.lock_wait_timeout, @@session.tx_isolation")
        return list(cursor.fetchone())


def health(request):
    """A load balancer's probe."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return JsonResponse({"one": cursor.fetchone()[0]})
