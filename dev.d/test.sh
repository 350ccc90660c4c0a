# shellcheck shell=bash
# ./dev test

help_text() {
    cat <<'EOF'
usage: ./dev test [--quick | --remotes | --suites] [ARGUMENTS of 'cargo test']

Installs missing packages and runs these steps:

  rust      every Rust test, including those on real MariaDB servers; the main ones also with servers
            that are reached over TCP, and on 11.8
  clients   real clients from other languages (tests/clients/run --help)
  apps      small apps on real frameworks, 50 workers each, and idling (tests/apps/run --help)
  up        './dev up' in a temporary folder: the printed line works, './dev down' leaves no server
  fuzz      every fuzz target for a few seconds (DORMOUSE_FUZZ_SECONDS, 10)

--remotes runs the tests of backups on other hosts alone, those in S3 with them: it installs moto (300 MB
of Python packages in the cache folder). Without it these say 'skipped'; those by SFTP run always.

--suites runs the long tests of other people's software alone, each on a bare server and through Dormouse,
and compares: real tools (tests/tools/run --help), and the test suites of drivers and frameworks
(tests/suites/run --help). It installs Java, Go, Ruby, R and Percona's tools (about 1 GB).

--quick runs the Rust tests alone. With arguments for cargo, as in './dev test -p dormouse-wire',
only those tests. Tests that need another MariaDB version than the installed one find its server
in DORMOUSE_TEST_MARIADBD_118 (see tools/fetch-server) and say 'skipped' when there is none.
EOF
}

# Prints the mariadbd of the MariaDB version that is not this machine's Debian's own.
second_server() {
    local home
    home=$(tools/fetch-server "${1:-$(second_version)}") || return 1
    echo "$home/bin/mariadbd"
}

second_version() {
    case $(PATH=$PATH:/usr/sbin mariadbd --no-defaults --version 2>/dev/null) in
    *" 11.8."*) echo 10.11 ;;
    *) echo 11.8 ;;
    esac
}

# Sets the environment variables that the tests read.
test_environment() {
    local server
    server=$(server_with_plugins)
    export DORMOUSE_TEST_MARIADBD=$server
    if [ "$(second_version)" = 10.11 ]; then
        export DORMOUSE_TEST_MARIADBD_118=$server
    elif server=$(second_server 11.8); then
        export DORMOUSE_TEST_MARIADBD_118=$server
    else
        say "skipped: no MariaDB 11.8"
    fi
    build dev
    export DORMOUSE_TEST_BINARY=$binary
    # every server of the tests in the whole sandbox, where this machine has it
    if "$binary" --json doctor 2>/dev/null | grep -q '"sandbox_complete": *true'; then
        export DORMOUSE_TEST_SANDBOX=require
    else
        say "the tests run without the whole sandbox: see 'dormouse doctor'"
    fi
}

# Backups on other hosts, also in S3.
test_remotes() {
    local moto
    moto=$(moto_server) || die "moto is not installed"
    DORMOUSE_TEST_MOTO=$moto cargo test -p dormouse-tests --test remote --no-fail-fast "$@" </dev/null
}

# Real tools, then third-party test suites.
test_tools() { tests/tools/run --self "$binary"; }

test_suites() { tests/suites/run --self "$binary"; }

test_rust() { cargo test --workspace --no-fail-fast "$@" </dev/null; }

# The tests that depend on the server's version, on the other version too.
test_rust_118() {
    DORMOUSE_TEST_MARIADBD=$DORMOUSE_TEST_MARIADBD_118 \
        cargo test -p dormouse-engine -p dormouse-tests --test real_server --test life \
        --test commands --test accounts --test sleeping --test differential --test storage \
        --no-fail-fast </dev/null
}

# The same sessions, backends and transactions with servers that are reached over TCP with TLS.
test_rust_tcp() {
    DORMOUSE_TEST_TRANSPORT=tcp \
        cargo test -p dormouse-tests --test commands --test moves --test pool --test bank \
        --no-fail-fast </dev/null
}

test_clients() { tests/clients/run --self "$binary"; }

test_apps() { tests/apps/run --self "$binary"; }

# The clients whose protocol differs most, on the newer server.
test_clients_118() {
    DORMOUSE_TEST_MARIADBD=$DORMOUSE_TEST_MARIADBD_118 \
        tests/clients/run --self "$binary" mariadb-11.8 connector-python mariadb-java mysqli
}

test_fuzz() { fuzz/run "${DORMOUSE_FUZZ_SECONDS:-10}"; }

# The commands of the README: up, a query, up again, down.
test_up() {
    local dir line answer
    dir=$(mktemp -d)
    chmod 711 "$dir"
    # shellcheck disable=SC2064 # the folder of now
    trap "./dev down --data-dir '$dir' || true; rm -rf '$dir'" EXIT
    ./dev up --profile dev --data-dir "$dir" | tee "$dir/said"
    line=$(grep '^mariadb ' "$dir/said")
    answer=$(bash -c "$line --batch --skip-column-names -e 'SELECT 6*7'")
    [ "$answer" = 42 ] || die "the printed line does not work: it answered '$answer'"
    ./dev up --profile dev --data-dir "$dir" | grep -qxF "$line" || die "a second 'up' says something else"
    ./dev down --data-dir "$dir"
    [ -z "$(servers_of "$dir")" ] || die "'down' left servers running"
}

run() {
    local binary
    if [ "${1-}" = --remotes ]; then
        shift
        need_for test
        test_environment
        step "backups on other hosts" test_remotes "$@"
    elif [ "${1-}" = --suites ]; then
        [ $# -eq 1 ] || die "--suites takes no arguments; tests/tools/run and tests/suites/run take names"
        need_for up
        tests/tools/run setup
        test_environment
        step "tools" test_tools
        [ ! -x tests/suites/run ] || step "third-party suites" test_suites
    elif [ $# -gt 0 ]; then
        [ "$1" != --quick ] || shift
        need_for up
        test_environment
        step "rust tests" test_rust "$@"
    else
        need_for test
        test_environment
        step "rust tests" test_rust
        step "rust tests, servers over TCP" test_rust_tcp
        step "real clients" test_clients
        step "applications" test_apps
        if [ "${DORMOUSE_TEST_MARIADBD_118:-$DORMOUSE_TEST_MARIADBD}" != "$DORMOUSE_TEST_MARIADBD" ]; then
            step "rust tests, MariaDB 11.8" test_rust_118
            step "real clients, MariaDB 11.8" test_clients_118
        fi
        step "dev up and down" test_up
        step "fuzzing" test_fuzz
    fi
    steps_end
}
