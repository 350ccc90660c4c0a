# shellcheck shell=bash
# Functions shared by the commands of ./dev: their packages, building, running steps, stopping Dormouse.
# Sourced, never run; the current directory is the top of the checkout.

# --- what each command needs -----------------------------------------------------------------------

need_rust() {
    # shellcheck source=/dev/null
    have cargo || [ ! -r "$HOME/.cargo/env" ] || . "$HOME/.cargo/env"
    have cargo || die "needs Rust 1.91 or newer: install it with rustup (https://rustup.rs), then run this again"
    have cc || need_packages gcc libc6-dev
}

need_server() {
    PATH=$PATH:/usr/sbin:/sbin have mariadbd || need_packages mariadb-server-core
    have mariadb-install-db || need_packages mariadb-server-core
    # my_print_defaults, which mariadb-install-db calls, comes with the client.
    have mariadb || need_packages mariadb-client-core
    # copies of servers that write too much to stand still; it starts nothing
    have mariadb-backup || need_packages mariadb-backup
}

# Prints the path of the server to run, with its plugins if they can be fetched.
server_with_plugins() {
    if [ -n "${DORMOUSE_NO_INSTALL:-}" ]; then
        PATH=$PATH:/usr/sbin:/sbin command -v mariadbd
        return
    fi
    tools/fetch-server --plugins || {
        say "warning: no plugins for MariaDB; Dormouse knows less about locks without metadata_lock_info"
        PATH=$PATH:/usr/sbin:/sbin command -v mariadbd
    }
}

# need_for up|test|lint|bench: installs the packages of that command.
need_for() {
    case $1 in
    up)
        need_rust
        need_server
        ;;
    test)
        need_for up
        have c++ || need_packages g++
        # dumps, which dormouse import reads
        have mariadb-dump || need_packages mariadb-client
        have zstd || need_packages zstd
        # file systems that share blocks, in files
        PATH=$PATH:/usr/sbin have mkfs.btrfs || need_packages btrfs-progs
        PATH=$PATH:/usr/sbin have mkfs.xfs || need_packages xfsprogs
        have setsid || need_packages util-linux
        have restic || need_packages restic
        # backups by SFTP
        have ssh || need_packages openssh-client
        [ -x /usr/sbin/sshd ] || need_idle_service openssh-server ssh
        tests/clients/run setup
        tests/apps/run setup
        ;;
    lint)
        need_rust
        have c++ || need_packages g++
        have shellcheck || need_packages shellcheck
        have python3 || need_packages python3
        ;;
    bench)
        need_for up
        have sysbench || need_packages sysbench
        PATH=$PATH:/usr/sbin have haproxy || need_idle_service haproxy
        ;;
    *) die "unknown command '$1'; use: up test lint bench" ;;
    esac
}

# The version of moto, whose S3 the tests of backups use.
moto_version=5.2.5

# Prints the path of moto's server, in a Python environment of its own in the cache folder.
moto_server() {
    local home
    home=$(cache_dir)/moto-$moto_version
    if [ ! -x "$home/ready/bin/moto_server" ]; then
        [ -z "${DORMOUSE_NO_INSTALL:-}" ] || return 1
        python3 -c 'import venv, ensurepip' 2>/dev/null || need_packages python3-venv
        rm -rf "$home"
        mkdir -p "$home"
        quietly python3 -m venv "$home/unfinished" || return 1
        quietly "$home/unfinished/bin/python" -m pip install -q "moto[server]==$moto_version" || return 1
        # a link: the scripts in it name its path
        ln -s unfinished "$home/ready"
    fi
    printf '%s\n' "$home/ready/bin/moto_server"
}

# need_idle_service PACKAGE [SERVICE]: installs a package that contains a system service, of the same
# name if none is given; the service is started neither now nor at the next boot.
need_idle_service() {
    local policy=/usr/sbin/policy-rc.d ours=no
    if [ -z "${DORMOUSE_NO_INSTALL:-}" ] && [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
        ours=yes
    fi
    # In a subshell, so that the policy is removed also if the installation fails.
    local status=0
    (need_packages "$1") || status=$?
    [ "$ours" = no ] || as_root rm -f "$policy"
    [ "$status" -eq 0 ] || exit "$status"
    if [ "$ours" = yes ] && [ -d /run/systemd/system ]; then
        as_root systemctl disable --quiet "${2:-$1}" || true
    fi
}

# --- building --------------------------------------------------------------------------------------

# build PROFILE: builds the binary and stores its path in $binary.
build() {
    local folder=$1
    [ "$folder" != dev ] || folder=debug
    cargo build --profile "$1" --bin dormouse >&2 || die "the build failed"
    binary=${CARGO_TARGET_DIR:-$top/target}/$folder/dormouse
}

# --- steps -------------------------------------------------------------------------------------------

steps_said=()
steps_failed=0

# step NAME COMMAND…: runs a command under a heading and records its result and duration.
step() {
    local name=$1 began=$SECONDS status=0 word=ok
    shift
    printf '\n== %s\n' "$name"
    # Not 'if "$@"': that would disable errexit inside.
    set +e
    (
        set -e
        "$@"
    )
    status=$?
    set -e
    if [ "$status" -eq 77 ]; then
        word=skipped
    elif [ "$status" -ne 0 ]; then
        word=FAILED
        steps_failed=$((steps_failed + 1))
    fi
    steps_said+=("$(printf '%-8s %5d s  %s' "$word" "$((SECONDS - began))" "$name")")
}

# steps_end: prints the table of all steps; fails if one failed.
steps_end() {
    printf '\n== summary\n'
    printf '%s\n' "${steps_said[@]}"
    [ "$steps_failed" -eq 0 ] || die "$steps_failed of ${#steps_said[@]} steps failed"
}

# --- a dormouse in the background --------------------------------------------------------------------

# servers_of DIR: the process ids of the database servers that run on files below DIR.
servers_of() {
    local process
    for process in /proc/[0-9]*; do
        # The server's command line names its files; a pid file could be stale.
        if { tr '\0' '\n' <"$process/cmdline"; } 2>/dev/null | grep -qF -- "=$1/"; then
            echo "${process#/proc/}"
        fi
    done
}

# stop_dormouse BINARY DIR [PID]: parks the databases of a data directory, ends its dormouse and then
# the remaining servers, such as warm ones.
stop_dormouse() {
    local binary=$1 dir=$2 pid=${3:-} name left
    for name in $("$binary" --data-dir "$dir" ls --json 2>/dev/null | tr , '\n' | json_field name); do
        "$binary" --data-dir "$dir" park "$name" --force >/dev/null 2>&1 ||
            "$binary" --data-dir "$dir" wake "$name" >/dev/null 2>&1 || true
    done
    if [ -n "$pid" ] && { tr '\0' '\n' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -qxF -- "$dir"; then
        kill "$pid" 2>/dev/null || true
        gone 20 "$pid" || kill -9 "$pid" 2>/dev/null || true
    fi
    mapfile -t left < <(servers_of "$dir")
    [ ${#left[@]} -gt 0 ] || return 0
    kill "${left[@]}" 2>/dev/null || true
    gone 20 "${left[@]}" || kill -9 "${left[@]}" 2>/dev/null || true
}

# gone SECONDS PID…: waits until the processes have ended; fails if it takes longer.
gone() {
    local patience=$1 pid
    shift
    for pid in "$@"; do
        timeout "$patience" tail --pid="$pid" -f /dev/null || return 1
    done
}

# port_free PORT: whether no process listens on it on this machine.
port_free() {
    ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}
