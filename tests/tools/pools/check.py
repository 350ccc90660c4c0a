"""Pools of real libraries with their usual health checks, each on a database of its own that sleeps.

Each pool is opened and used, its database is parked, and the pool goes on with its checks for DORMOUSE_POOLS_SECONDS (60).
Says for each whether it made more than ten checks, and which statements woke its database: none on a bare server. Dormouse
must have answered the checks while the database slept: at least one a second, and of Java's pools two, of which the program
itself sends one.
"""

import json
import os
import pathlib
import subprocess
import sys
import time
from collections import Counter

import pymysql

HERE = pathlib.Path(__file__).resolve().parent
WORK = pathlib.Path(os.environ["WORK"])
SECONDS = int(os.environ.get("DORMOUSE_POOLS_SECONDS", "60"))
BARE = os.environ["SIDE"] == "bare"
CACHE = pathlib.Path(os.environ["POOLS_HOME"])
JARS = [f"/usr/share/java/{jar}.jar" for jar in (
    "HikariCP", "commons-dbcp2", "commons-pool2", "commons-logging", "slf4j-api", "slf4j-nop", "mariadb-java-client")]
JAVA = ["java", "-XX:TieredStopAtLevel=1", "-Xmx64m", "-cp", ":".join([*JARS, str(WORK)]), "Pool"]
PYTHON = [str(CACHE / "python/bin/python"), "-B", str(HERE / "python/pool.py")]
NODE = ["node", str(HERE / "node/pool.js")]
PHP = ["php", str(HERE / "php/pool.php")]
GO = [str(WORK / "go-pool")]
RUST = [str(CACHE / "rust/debug/rust-pool")]
POOLS = {
    "hikari": JAVA, "hikari-query": JAVA, "dbcp": JAVA, "dbcp-dual": JAVA,
    "sqlalchemy": PYTHON, "django": PYTHON,
    "mysql2": NODE, "mysql2-query": NODE, "mysql2-execute": NODE, "sequelize": NODE,
    "pdo": PHP, "pdo-prepared": PHP,
    "go-ping": GO, "go-prepared": GO,
    "sqlx": RUST,
}


def dormouse(*arguments):
    output = subprocess.run([os.environ["DORMOUSE"], "--json", *arguments], check=True, capture_output=True, text=True)
    return json.loads(output.stdout)


def build():
    # what Debian's Go finds
    go = {**os.environ, "GO111MODULE": "off", "GOFLAGS": "", "GOPATH": "/usr/share/gocode", "GOCACHE": str(CACHE / "go-cache")}
    subprocess.run(["go", "build", "-o", GO[0], str(HERE / "go/main.go")], check=True, env=go)
    rust = ["--locked", "--manifest-path", str(HERE / "rust/Cargo.toml"), "--target-dir", str(CACHE / "rust")]
    subprocess.run(["cargo", "build", "--quiet", *rust], check=True)
    subprocess.run(["javac", "-cp", ":".join(JARS), "-d", str(WORK), str(HERE / "java/Pool.java")], check=True)


def login(name):
    """The account for a pool: that of a database of its own."""
    if BARE:
        return {key: os.environ[key] for key in ("HOST", "PORT", "USER_NAME", "PASSWORD")}
    made = dormouse("create", database(name), "--idle-suspend", "never", "--idle-park", "never")
    return {"HOST": made["host"], "PORT": str(made["port"]), "USER_NAME": made["user"], "PASSWORD": made["password"]}


def database(name):
    return f"pool-{name}"


def start(name):
    server = login(name)
    connection = pymysql.connect(
        host=server["HOST"], port=int(server["PORT"]), user=server["USER_NAME"], password=server["PASSWORD"], autocommit=True)
    with connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE IF NOT EXISTS d")
        cursor.execute("CREATE OR REPLACE TABLE d.t (i INT)")
        cursor.execute("INSERT INTO d.t VALUES (1)")
    connection.close()
    environment = {**os.environ, **server, "NODE_HOME": str(CACHE / "node")}
    pool = subprocess.Popen([*POOLS[name], name], env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    line = pool.stdout.readline()
    if line != "ready\n":
        sys.exit(f"{name} did not start: {line!r}")
    return pool


def park(name):
    """Parks its database; the id of the last entry of its ledger."""
    dormouse("park", database(name))
    return dormouse("events", database(name), "--limit", "1")[-1]["id"]


def answers(name):
    """How many commands Dormouse has answered while its database slept."""
    return dormouse("pool", database(name))["sleeping_answers"]


def wakes(name, after):
    """How often each statement woke its database since."""
    events = dormouse("events", database(name), "--limit", "10000")
    woken = [e for e in events if e["id"] > after and e["event"] == "changed" and e["to"] == "active"]
    return Counter((e.get("woken_by") or {}).get("statement", e["reason"]) for e in woken)


build()
pools = {name: start(name) for name in POOLS}
parked = {} if BARE else {name: park(name) for name in POOLS}
before = {name: answers(name) for name in parked}
idle = False
# the pools check for this long
time.sleep(SECONDS)
for name, pool in pools.items():
    rest, _ = pool.communicate("over\n", timeout=60)
    checks = int(rest.split()[1]) if rest.startswith("checks ") else 0
    print(f"{name}: {'more' if checks > 10 else f'{checks}, not more'} than 10 checks")
    idle |= checks <= 10
    if BARE:
        continue
    asleep = answers(name) - before[name]
    expected = SECONDS * (2 if POOLS[name] is JAVA else 1)
    if asleep < expected:
        print(f"{name}: {asleep} commands were answered asleep, not {expected}")
        idle = True
    for statement, times in sorted(wakes(name, parked[name]).items()):
        print(f"{name}: woke its database {times} times with `{statement}`")
sys.exit("a pool did not check often enough" if idle else 0)
