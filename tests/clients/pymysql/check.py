"""PyMySQL: inserts parameters itself, so all statements use the text protocol."""

import os
import pathlib
import ssl
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import common
import pymysql
import pymysql.cursors
from common import MODE, equal, fails, nap
from pymysql.constants import CLIENT


def connect(**options):
    if MODE == "tls":
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        options["ssl"] = context
    else:
        options["ssl_disabled"] = True
    if MODE == "socket":
        options["unix_socket"] = common.SOCKET
    return pymysql.connect(
        host=common.HOST,
        port=common.PORT,
        user=common.USER,
        password=common.PASSWORD,
        database=common.SCHEMA,
        charset="utf8mb4",
        **options,
    )


def rows(connection, statement, parameters=None):
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def simple(db):
    equal("encrypted", isinstance(db._sock, ssl.SSLSocket), MODE == "tls")
    equal("simple query", rows(db, "SELECT 1+1, 'grüße 🐭', NULL"), [(2, "grüße 🐭", None)])
    fails("a missing table", 1146, lambda: rows(db, "SELECT * FROM no_such_table"))
    db.ping(reconnect=False)
    db.select_db(common.SCHEMA)


def types(db):
    rows(db, common.TYPES_TABLE.format("pymysql_types"))
    with db.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO pymysql_types VALUES (%s,%s,%s,%s,%s,%s,%s,%s,%s)", common.TYPES_ROWS
        )
    db.commit()
    equal("all types", rows(db, "SELECT * FROM pymysql_types ORDER BY id"), common.TYPES_ROWS)
    rows(db, "DROP TABLE pymysql_types")


def big_result(db):
    with db.cursor(pymysql.cursors.SSCursor) as cursor:
        cursor.execute(common.BIG_QUERY)
        common.big_result(cursor)


def transactions(db):
    rows(db, "CREATE OR REPLACE TABLE pymysql_t (i INT PRIMARY KEY)")
    for end, expected in ((db.rollback, 0), (db.commit, 1)):
        db.begin()
        rows(db, "INSERT INTO pymysql_t VALUES (1)")
        end()
        equal(end.__name__, rows(db, "SELECT COUNT(*) FROM pymysql_t"), [(expected,)])
        db.commit()


def several_statements():
    db = connect(client_flag=CLIENT.MULTI_STATEMENTS)
    with db.cursor() as cursor:
        cursor.execute("SELECT 1; DO 0; SELECT 3")
        results = [list(cursor.fetchall())]
        while cursor.nextset():
            results.append(list(cursor.fetchall()))
    equal("several statements", results, [[(1,)], [], [(3,)]])
    db.close()


def load_data():
    db = connect(local_infile=True)
    name = common.load_file()
    rows(db, "TRUNCATE pymysql_t")
    rows(db, f"LOAD DATA LOCAL INFILE '{name}' INTO TABLE pymysql_t")
    equal("LOAD DATA", [int(n) for n in rows(db, "SELECT COUNT(*), SUM(i) FROM pymysql_t")[0]], [1000, 500500])
    rows(db, "DROP TABLE pymysql_t")
    os.unlink(name)
    db.close()


def naps():
    db = connect()
    for statement in common.SETTINGS_SET:
        rows(db, statement)
    for kind in (None, "suspend", "park", "kill"):
        if kind:
            nap(kind)
        got = rows(db, f"SELECT %s, {common.SETTINGS}", (kind,))
        equal(f"settings after {kind}", got, [(kind, *common.SETTINGS_KEPT)])
    db.close()


def nap_in_transaction():
    db = connect()
    rows(db, "CREATE TEMPORARY TABLE t (i INT) ENGINE=InnoDB")
    rows(db, "SET @v = 5")
    db.begin()
    rows(db, "INSERT INTO t VALUES (1)")
    nap("suspend")
    equal("in the transaction", rows(db, "SELECT COUNT(*), @v FROM t"), [(1, 5)])
    db.rollback()
    equal("rolled back", rows(db, "SELECT COUNT(*) FROM t"), [(0,)])
    db.close()


db = connect()
simple(db)
types(db)
big_result(db)
transactions(db)
several_statements()
load_data()
db.close()
naps()
nap_in_transaction()
