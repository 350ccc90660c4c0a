"""mysql-connector-python: prepared cursors use the binary protocol."""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import common
import mysql.connector
from common import MODE, equal, fails, nap


def connect(**options):
    if MODE == "socket":
        options["unix_socket"] = common.SOCKET
    return mysql.connector.connect(
        host=common.HOST,
        port=common.PORT,
        user=common.USER,
        password=common.PASSWORD,
        database=common.SCHEMA,
        charset="utf8mb4",
        collation="utf8mb4_general_ci",
        ssl_disabled=MODE != "tls",
        use_pure=True,
        compress=MODE == "compressed",
        **options,
    )


def rows(connection, statement, parameters=None):
    cursor = connection.cursor(buffered=True)
    cursor.execute(statement, parameters or ())
    got = list(cursor.fetchall()) if cursor.with_rows else []
    cursor.close()
    return got


def simple(db):
    equal("encrypted", db.is_secured if hasattr(db, "is_secured") else MODE == "tls", MODE == "tls")
    equal("simple query", rows(db, "SELECT 1+1, 'grüße 🐭', NULL"), [(2, "grüße 🐭", None)])
    fails("a missing table", 1146, lambda: rows(db, "SELECT * FROM no_such_table"))
    db.ping(reconnect=False)


def prepared(db):
    cursor = db.cursor(prepared=True)
    for value in (1, "two", None, 2.5, b"\x00\xff", "x" * 100_000):
        cursor.execute("SELECT ?", (value,))
        got = cursor.fetchall()[0][0]
        equal("a parameter of a new type", got.encode() if isinstance(value, bytes) and isinstance(got, str) else got, value)
    cursor.close()
    rows(db, common.TYPES_TABLE.format("connector_types"))
    insert = db.cursor(prepared=True)
    for row in common.TYPES_ROWS:
        insert.execute("INSERT INTO connector_types VALUES (?,?,?,?,?,?,?,?,?)", row)
    db.commit()
    insert.close()
    select = db.cursor(prepared=True)
    for row in common.TYPES_ROWS:
        select.execute("SELECT * FROM connector_types WHERE id = ?", (row[0],))
        got = tuple(bytes(v) if isinstance(v, bytearray) else v for v in select.fetchall()[0])
        equal(f"row {row[0]} of all types", got, row)
    select.close()
    rows(db, "DROP TABLE connector_types")


def big_result(db):
    cursor = db.cursor()
    cursor.execute(common.BIG_QUERY)
    common.big_result(cursor)
    cursor.close()


def transactions(db):
    rows(db, "CREATE OR REPLACE TABLE connector_t (i INT PRIMARY KEY)")
    for end, expected in ((db.rollback, 0), (db.commit, 1)):
        db.start_transaction()
        rows(db, "INSERT INTO connector_t VALUES (1)")
        end()
        equal(end.__name__, rows(db, "SELECT COUNT(*) FROM connector_t"), [(expected,)])
        db.commit()


def several_statements(db):
    cursor = db.cursor()
    cursor.execute("SELECT 1; DO 0; SELECT 3")
    results = [cursor.fetchall() if cursor.with_rows else []]
    while cursor.nextset():
        results.append(cursor.fetchall() if cursor.with_rows else [])
    equal("several statements", results, [[(1,)], [], [(3,)]])
    cursor.close()


def load_data():
    db = connect(allow_local_infile=True)
    name = common.load_file()
    rows(db, "TRUNCATE connector_t")
    rows(db, f"LOAD DATA LOCAL INFILE '{name}' INTO TABLE connector_t")
    got = [int(n) for n in rows(db, "SELECT COUNT(*), SUM(i) FROM connector_t")[0]]
    equal("LOAD DATA", got, [1000, 500500])
    rows(db, "DROP TABLE connector_t")
    os.unlink(name)
    db.close()


def naps():
    db = connect()
    db.autocommit = True
    for statement in common.SETTINGS_SET:
        rows(db, statement)
    cursor = db.cursor(prepared=True)
    for kind in (None, "suspend", "park", "kill"):
        if kind:
            nap(kind)
        cursor.execute(f"SELECT ?, {common.SETTINGS}", (kind,))
        got = cursor.fetchall()
        equal(f"settings after {kind}", got, [(kind, *common.SETTINGS_KEPT)])
    cursor.close()
    db.cmd_reset_connection()
    equal("after a reset", rows(db, "SELECT @@time_zone = @@global.time_zone"), [(1,)])
    db.close()


def nap_in_transaction():
    db = connect()
    rows(db, "CREATE TEMPORARY TABLE t (i INT) ENGINE=InnoDB")
    rows(db, "SET @v = 5")
    db.start_transaction()
    rows(db, "INSERT INTO t VALUES (1)")
    nap("suspend")
    equal("in the transaction", rows(db, "SELECT COUNT(*), @v FROM t"), [(1, 5)])
    db.rollback()
    equal("rolled back", rows(db, "SELECT COUNT(*) FROM t"), [(0,)])
    db.close()


db = connect()
simple(db)
prepared(db)
big_result(db)
transactions(db)
several_statements(db)
load_data()
db.close()
naps()
nap_in_transaction()
