"""Django on PyMySQL: requests through the WSGI handler, one persistent connection per thread."""

import io
import json
import pathlib
import sys
from wsgiref.util import setup_testing_defaults

here = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(here), str(here.parent)]

import common
import django
import pymysql
from common import Crew, choose, equal
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.urls import path

pymysql.install_as_MySQLdb()
settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.mysql",
            "HOST": common.HOST,
            "PORT": common.PORT,
            "USER": common.USER,
            "PASSWORD": common.PASSWORD,
            "NAME": common.SCHEMA,
            "CONN_MAX_AGE": None,
            "CONN_HEALTH_CHECKS": True,
            "OPTIONS": {
                "ssl_disabled": True,
                "init_command": "SET time_zone = '+03:00', lock_wait_timeout = 77",
            },
        }
    },
    DEBUG_PROPAGATE_EXCEPTIONS=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "bank"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
)
django.setup()

from bank import views
from bank.models import Account, Label, Transfer
from django.db import close_old_connections, connection
from django.db.models import Count, Sum

urlpatterns = [
    path("transfer/<int:worker>/<int:turn>", views.transfer),
    path("report/<int:worker>", views.report),
    path("health", views.health),
]
application = get_wsgi_application()


def get(url):
    """One request with all its signals, as from a web server."""
    environ = {"PATH_INFO": url}
    setup_testing_defaults(environ)
    environ["wsgi.errors"] = io.StringIO()
    status = []
    response = application(environ, lambda line, headers: status.append(line))
    try:
        body = b"".join(response)
    finally:
        response.close()
    equal(f"status of {url}", status, ["200 OK"])
    return json.loads(body)


#: The connection of each worker.
connections = {}


def turn(worker, number):
    get(f"/transfer/{worker}/{number}")
    equal("connection made again", connections.setdefault(worker, connection.connection) is connection.connection, True)
    report = get(f"/report/{worker}")
    equal("own transfers", [report["count"], report["moved"]], [number + 1] * 2)
    latest = [[n, *choose(worker, n), [f"label {worker % 5}"]] for n in range(number, max(-1, number - 5), -1)]
    equal("latest transfers", report["latest"], latest)
    equal("settings", report["settings"], ["+03:00", 77, "READ-COMMITTED"])


def check(crew):
    turns = sum(crew.turns)
    equal("transfers", Transfer.objects.count(), turns)
    equal("labelled transfers", Transfer.objects.filter(labels__isnull=False).count(), turns)
    equal("money", Account.objects.aggregate(Sum("balance"))["balance__sum"], common.ACCOUNTS * common.OPENING)
    for account in Account.objects.annotate(out=Count("sent")):
        balance = common.OPENING - account.out + account.received.count()
        equal(f"balance of account {account.pk}", account.balance, balance)
    per_worker = dict(Transfer.objects.values_list("worker").annotate(Count("pk")))
    equal("transfers of each worker", per_worker, {w: n for w, n in enumerate(crew.turns) if n})


def reconnect(worker):
    connection.close()
    get("/health")


# The second migration runs while all workers are connected.
call_command("migrate", "bank", "0001", verbosity=0)
call_command("migrate", "auth", verbosity=0)
Account.objects.bulk_create(Account(owner=f"owner {n}", balance=common.OPENING) for n in range(common.ACCOUNTS))
Label.objects.bulk_create(Label(name=f"label {n}") for n in range(5))
crew = Crew()
crew.run(lambda worker: get("/health"))
call_command("migrate", verbosity=0)
crew.work(turn)
check(crew)


def validate(worker):
    """What Django does by itself between two requests."""
    close_old_connections()
    connection.close_if_health_check_failed()


woken = crew.idle(validation=validate, probe=lambda worker: get("/health"), reconnect=reconnect)
connections.clear()
crew.run(lambda worker: turn(worker, crew.turns[worker]))
crew.turns = [n + 1 for n in crew.turns]
check(crew)
crew.run(lambda worker: connection.close())
connection.close()
crew.leave()
equal("what woke the database", woken, [])
print(f"{sum(crew.turns)} transfers")
