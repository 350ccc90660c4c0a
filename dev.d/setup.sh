# shellcheck shell=bash
# ./dev setup

# shellcheck source=dev.d/test.sh
. dev.d/test.sh

help_text() {
    cat <<'EOF'
usage: ./dev setup [up | test | lint | bench | all]…

Lists and installs the missing packages of the named commands ('up' if none is named). Debian
packages come from this machine's package sources; none starts a system service. Python and node
packages of the test clients and apps, WordPress, and a second MariaDB version go into a cache
folder (set by DORMOUSE_CACHE), not into the system.

  up      a C compiler, mariadb-server-core, mariadb-client-core, mariadb-backup
  test    also a C++ compiler, mariadb-client, zstd, btrfs-progs, xfsprogs,
          restic, openssh-server (its service stays off), the clients' languages (python3-venv, nodejs, npm, a JDK, PHP),
          HikariCP, and MariaDB 11.8 (10.11 on Debian 13) unpacked into the cache
  lint    a C++ compiler, shellcheck, python3
  bench   sysbench, haproxy (its service stays off)

Rust is not installed; get it from rustup.
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
