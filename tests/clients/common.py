"""Shared by the Python clients: connection settings, comparisons, naps."""

import datetime
import decimal
import os
import pathlib
import subprocess
import sys
import tempfile
import zlib

MODE = os.environ["MODE"]
HOST = os.environ["HOST"]
PORT = int(os.environ["PORT"])
SOCKET = os.environ.get("SOCKET", "")
USER = os.environ["USER_NAME"]
PASSWORD = os.environ["PASSWORD"]
SCHEMA = os.environ["SCHEMA"]
SCHEMA_2 = os.environ["SCHEMA_2"]

BIG_ROWS = 200_000
BIG_QUERY = (
    "SELECT seq, CONCAT('row ', seq, REPEAT('x', seq % 50)) FROM seq_1_to_200000"
)
SETTINGS = (
    "@@sql_mode, @@time_zone, @@character_set_client, @@collation_connection, DATABASE()"
)
SETTINGS_SET = (
    "SET sql_mode='ANSI_QUOTES,STRICT_ALL_TABLES', time_zone='+03:00'",
    "SET NAMES utf8mb4 COLLATE utf8mb4_german2_ci",
    f"USE {SCHEMA_2}",
)
SETTINGS_KEPT = (
    "ANSI_QUOTES,STRICT_ALL_TABLES",
    "+03:00",
    "utf8mb4",
    "utf8mb4_german2_ci",
    SCHEMA_2,
)
TYPES_TABLE = (
    "CREATE OR REPLACE TABLE {} (id INT PRIMARY KEY, n BIGINT, d DOUBLE, x DECIMAL(20,6),"
    " s LONGTEXT, b LONGBLOB, day DATE, at DATETIME(6), t TIME(6))"
)
#: Rows of TYPES_TABLE. The first is all NULL, so that later rows have new parameter types.
TYPES_ROWS = [
    (1, None, None, None, None, None, None, None, None),
    (
        2,
        -(2**63),
        -2.5,
        decimal.Decimal("-12345678901234.567890"),
        "grüße 🐭",
        bytes(range(256)),
        datetime.date(2024, 2, 29),
        datetime.datetime(2024, 2, 29, 23, 59, 59, 123456),
        datetime.timedelta(hours=-100, minutes=-1, seconds=-2, microseconds=-3),
    ),
    (
        3,
        2**63 - 1,
        1e300,
        decimal.Decimal("0.000001"),
        "ü" * (1 << 20),
        os.urandom(2 << 20),
        datetime.date(1000, 1, 1),
        datetime.datetime(9999, 12, 31, 0, 0, 0),
        datetime.timedelta(hours=838, minutes=59, seconds=59),
    ),
]


def equal(what, got, expected):
    """Ends the program unless both are equal."""
    if got != expected:
        sys.exit(f"{what}: expected {str(expected)[:300]!r}, got {str(got)[:300]!r}")


def fails(what, errno, action):
    """Ends the program unless the action fails with this error number."""
    try:
        action()
    except Exception as error:  # error classes differ between clients, error numbers do not
        equal(what, getattr(error, "errno", None) or error.args[0], errno)
    else:
        sys.exit(f"{what}: no error")


def nap(kind):
    """Runs a nap of this kind, if NAPS lists it."""
    subprocess.run([pathlib.Path(__file__).with_name("nap"), kind], check=True)


def big_result(rows):
    """Compares streamed rows of BIG_QUERY with the expected ones."""
    count = checksum = 0
    for number, text in rows:
        count += 1
        checksum ^= zlib.crc32(f"{number}:{text}".encode())
    expected = 0
    for i in range(1, BIG_ROWS + 1):
        expected ^= zlib.crc32(f"{i}:row {i}{'x' * (i % 50)}".encode())
    equal("rows of a big result", count, BIG_ROWS)
    equal("checksum of a big result", checksum, expected)


def load_file():
    """Creates a file of the numbers 1 to 1000, for LOAD DATA LOCAL."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt", delete=False) as file:
        file.writelines(f"{i}\n" for i in range(1, 1001))
    return file.name
