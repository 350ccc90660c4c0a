"""Settings of Django's own tests: two databases on the server of the run."""

import os

import pymysql

# Django refuses older versions of the driver that it knows, whose place PyMySQL takes.
pymysql.version_info = (2, 2, 7, "final", 0)
pymysql.__version__ = "2.2.7"
pymysql.install_as_MySQLdb()

_database = {
    "ENGINE": "django.db.backends.mysql",
    "HOST": os.environ["HOST"],
    "PORT": os.environ["PORT"],
    "USER": os.environ["USER_NAME"],
    "PASSWORD": os.environ["PASSWORD"],
}
DATABASES = {
    "default": {**_database, "NAME": "django", "TEST": {"CHARSET": "utf8mb4"}},
    "other": {**_database, "NAME": "django_other", "TEST": {"CHARSET": "utf8mb4"}},
}
SECRET_KEY = "tests"
USE_TZ = False
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
TEST_RUNNER = "suite_runner.Runner"
