# shellcheck shell=bash
# Functions shared by tests/clients/run and tests/apps/run: packages of other languages, starting servers.
# Sourced, never run; needs dev.d/lib.sh and dev.d/steps.sh. The runner sets $what (what to start) and
# $scratch (folder for all files); results are $server and the connection parameters in capitals.
# shellcheck disable=SC2034,SC2154

# --- packages of other languages ---------------------------------------------------------------------

# home_of FOLDER: the cache folder with the packages for the program in FOLDER.
home_of() {
    local kind=${1%/*}
    echo "$(cache_dir)/${kind##*/}/${1##*/}"
}

# python_packages FOLDER: creates a virtual environment with the packages of the folder's program.
python_packages() {
    local home wanted=$1/requirements.txt
    home=$(home_of "$1")
    if cmp -s "$wanted" "$home/installed"; then return; fi
    python3 -c 'import ensurepip, venv' 2>/dev/null || need_packages python3-venv
    say "installing $(grep -v '^#' "$wanted" | tr '\n' ' ')for ${1##*/}"
    rm -rf "$home"
    mkdir -p "${home%/*}"
    python3 -m venv "$home"
    "$home/bin/pip" install --quiet --disable-pip-version-check -r "$wanted" </dev/null >&2
    cp "$wanted" "$home/installed"
}

# node_packages FOLDER: installs the packages of the folder's program.
node_packages() {
    local home wanted=$1/package.json
    home=$(home_of "$1")
    have node || need_packages nodejs
    if cmp -s "$wanted" "$home/installed"; then return; fi
    have npm || need_packages npm
    say "installing the packages of ${1##*/}"
    rm -rf "$home"
    mkdir -p "$home"
    cp "$wanted" "$home/package.json"
    npm install --prefix "$home" --silent --no-audit --no-fund --no-package-lock </dev/null >&2
    cp "$wanted" "$home/installed"
}

# --- starting and stopping servers ---------------------------------------------------------------------

# start_bare [CONFIGURATION]: starts a plain mariadbd with a certificate; all files are in $scratch.
start_bare() {
    local dir=$scratch/bare
    need_server
    have openssl || need_packages openssl
    mkdir "$dir"
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
        -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>/dev/null
    PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    SOCKET=$dir/socket
    cat >"$dir/my.cnf" <<EOF
[mariadbd]
datadir=$dir/data
socket=$SOCKET
bind-address=127.0.0.1
port=$PORT
ssl-cert=$dir/cert.pem
ssl-key=$dir/key.pem
innodb-log-file-size=64M
skip-name-resolve
local-infile=ON
log-error=$dir/log.err
${1-}
EOF
    local as=()
    if [ "$(id -u)" -eq 0 ]; then
        as=(--user=nobody)
        chmod 755 "$scratch"
        chown -R nobody "$dir"
    fi
    mariadb-install-db --no-defaults --datadir="$dir/data" --auth-root-authentication-method=normal \
        --skip-test-db --force "${as[@]}" >"$dir/install.log" 2>&1 || die "mariadb-install-db failed: $(cat "$dir/install.log")"
    mariadbd --defaults-file="$dir/my.cnf" "${as[@]}" 2>/dev/null &
    server=$!
    timeout 60 bash -c 'until mariadb --no-defaults -uroot -S "$1" -e "DO 0"; do sleep 0.1; done' - "$SOCKET" \
        >/dev/null 2>&1 || die "the server did not start: $(tail -n 5 "$dir/log.err")"
    # clients_tls refuses connections without TLS.
    USER_NAME=clients TLS_USER=clients_tls PASSWORD=secret HOST=127.0.0.1
    mariadb --no-defaults -uroot -S "$SOCKET" --execute="CREATE USER clients@'%' IDENTIFIED BY '$PASSWORD';
        CREATE USER clients@localhost IDENTIFIED BY '$PASSWORD';
        CREATE USER clients_tls@'%' IDENTIFIED BY '$PASSWORD' REQUIRE SSL;
        GRANT ALL ON *.* TO clients@'%'; GRANT ALL ON *.* TO clients@localhost;
        GRANT ALL ON *.* TO clients_tls@'%'"
}

# create_database NAME: creates a database for tests, and sets how to reach it.
create_database() {
    local created
    NAP_DATABASE=$1
    created=$("$DORMOUSE" create "$1" --idle-suspend never --idle-park never --json | tr -d '\n')
    HOST=$(json_field host <<<"$created") PORT=$(json_field port <<<"$created") SOCKET=$(json_field socket <<<"$created")
    USER_NAME=$(json_field user <<<"$created") PASSWORD=$(json_field password <<<"$created")
}

# start_dormouse [CONFIGURATION]: starts $DORMOUSE with one database; all files are in $scratch.
start_dormouse() {
    local dir=$scratch/dormouse
    export DORMOUSE_DATA_DIR=$dir
    chmod 755 "$scratch"
    mkdir "$dir"
    printf '[engine]\nmariadbd = "%s"\n%s\n' "${DORMOUSE_TEST_MARIADBD:-$(cd "$top" && server_with_plugins)}" "${1-}" \
        >"$scratch/dormouse.toml"
    "$DORMOUSE" --data-dir "$dir" --json up --listen 127.0.0.1:0 --config "$scratch/dormouse.toml" >"$scratch/ready" 2>"$scratch/log" &
    server=$!
    timeout 120 bash -c 'until [ -s "$1" ]; do kill -0 "$2" || exit 1; sleep 0.1; done' - "$scratch/ready" "$server" 2>/dev/null ||
        die "dormouse did not start: $(tail -n 10 "$scratch/log")"
    CERTIFICATE=$dir/tls/server.crt
    create_database clients
}

# Stops only the processes that were started here.
cleanup() {
    local status=$?
    if [ "$status" -ne 0 ] && [ -s "$scratch/log" ]; then
        say "the last lines of dormouse's log and its newest events:"
        tail -n 20 "$scratch/log" >&2
        "$DORMOUSE" events --limit 30 >&2 || true
    fi
    if [ -n "${DORMOUSE_DATA_DIR:-}" ] && [ "$what" = self ]; then
        stop_dormouse "$DORMOUSE" "$DORMOUSE_DATA_DIR" "$server"
    elif [ -n "$server" ]; then
        kill "$server"
        wait "$server" || true
    fi
    rm -rf "$scratch"
}

