"""Pools of Python: SQLAlchemy's pre-ping and Django's health checks. Says "ready", then checks until its stdin ends."""

import os
import select
import sys
import time

SERVER = {
    "host": os.environ["HOST"],
    "port": int(os.environ["PORT"]),
    "user": os.environ["USER_NAME"],
    "password": os.environ["PASSWORD"],
}


def sqlalchemy():
    from sqlalchemy import URL, create_engine, text

    url = URL.create(
        "mysql+pymysql", SERVER["user"], SERVER["password"], SERVER["host"], SERVER["port"], "d"
    )
    engine = create_engine(url, pool_pre_ping=True, pool_size=2)
    with engine.connect() as connection:
        connection.execute(text("SELECT i FROM t")).all()

    def check():
        with engine.connect():
            pass

    return check


def django():
    import pymysql

    pymysql.version_info = (2, 2, 1, "final", 0)
    pymysql.install_as_MySQLdb()
    from django.conf import settings

    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.mysql",
                "NAME": "d",
                "HOST": SERVER["host"],
                "PORT": SERVER["port"],
                "USER": SERVER["user"],
                "PASSWORD": SERVER["password"],
                "CONN_MAX_AGE": None,
                "CONN_HEALTH_CHECKS": True,
            }
        }
    )
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT i FROM t")

    def check():
        # what a request does at its beginning and at its first statement
        connection.close_if_unusable_or_obsolete()
        connection.close_if_health_check_failed()
        connection.ensure_connection()

    return check


check = {"sqlalchemy": sqlalchemy, "django": django}[sys.argv[1]]()
print("ready", flush=True)
checks = 0
while not select.select([sys.stdin], [], [], 0.5)[0]:
    check()
    checks += 1
print("checks", checks, flush=True)
