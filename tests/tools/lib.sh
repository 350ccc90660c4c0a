# shellcheck shell=bash
# Shared by the tools' shell programs. Sourced, never run; $tools is the folder of the tools.
: "${tools:?}"

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# sql_in SCHEMA: runs the statements on stdin; rows on stdout.
sql_in() {
    MYSQL_PWD=$PASSWORD mariadb --no-defaults --batch --raw --skip-column-names --skip-reconnect \
        --default-character-set=utf8mb4 --protocol=tcp --host="$HOST" --port="$PORT" --user="$USER_NAME" "$1"
}

# sql: the same, in the tool's schema.
sql() { sql_in "$SCHEMA"; }

# outcome COMMAND…: runs it, and says its exit code after its output (stderr too).
outcome() {
    local status=0
    "$@" 2>&1 || status=$?
    echo "exit code $status"
}
