"""Takes the backends of all sessions that are not pinned: as many other sessions as there are backends
run a statement each."""

import os

import pymysql

rivals = [
    pymysql.connect(
        host=os.environ["HOST"],
        port=int(os.environ["PORT"]),
        user=os.environ["USER_NAME"],
        password=os.environ["PASSWORD"],
        ssl_disabled=True,
    )
    for _ in range(int(os.environ["BACKENDS"]))
]
for rival in rivals:
    rival.query("DO RAND()")
