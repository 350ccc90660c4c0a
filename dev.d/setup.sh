# shellcheck shell=bash
# ./dev setup

# shellcheck source=dev.d/test.sh
. dev.d/test.sh

help_text() {
    cat <<'EOF'
usage: ./dev setup [up | test | lint | bench | all]…

Installs what the named commands need and is missing here ('up' if none is named), after saying
what. Debian packages only from this machine's own package sources; no package that starts a
system service on its own. Python and node packages of the test clients and apps, WordPress, and a
second MariaDB version, go into a cache folder (DORMOUSE_CACHE says where) and not into the system.

  up      a C compiler, mariadb-server-core, mariadb-client-core
  test    also a C++ compiler, the clients' languages (python3-venv, nodejs, npm, a JDK, PHP),
          HikariCP, and MariaDB 11.8 (10.11 on Debian 13) unpacked into the cache
  lint    shellcheck, python3
  bench   sysbench, haproxy (its service stays off)

Rust comes from rustup and is not installed by this.
EOF
}

run() {
    local what
    [ $# -gt 0 ] || set -- up
    [ "$1" != all ] || set -- up test lint bench
    for what in "$@"; do
        need_for "$what"
        [ "$what" != test ] || second_server >/dev/null || say "skipped: no second MariaDB version"
    done
    [ -n "${DORMOUSE_NO_INSTALL:-}" ] || server_with_plugins >/dev/null
    say "ready for: $*"
}
