# shellcheck shell=bash
# ./dev up, and the functions that ./dev down shares with it.
: "${top:?}"

help_text() {
    cat <<'EOF'
usage: ./dev up [--profile release|dev] [--data-dir DIR] [ARGUMENTS of 'dormouse up']

Installs missing packages, builds Dormouse, starts it in the background and creates a database called
'first'. The last line printed opens that database in the mariadb client. If it runs already, says so
and how to connect. Uses port 3306, or the next free one.

Data, log and passwords are kept in ./.dormouse (for root, if other users cannot pass through the
checkout's folder: in a folder below /var/lib; the output names it). ./dev down stops everything.
EOF
}

# The data directory of 'up'. As root each database server runs as a user of its own, which needs
# search permission on every folder on the way to its files.
up_data_dir() {
    local folder=$top
    if [ "$(id -u)" -eq 0 ]; then
        while [ "$folder" != / ]; do
            if [ $((0$(stat -c %a "$folder") & 1)) -eq 0 ]; then
                echo "/var/lib/dormouse-$(printf '%s' "$top" | cksum | cut -d' ' -f1)"
                return
            fi
            folder=$(dirname "$folder")
        done
    fi
    echo "$top/.dormouse"
}

# up_options ARGUMENT…: reads the options of 'up' and 'down'; sets profile, data_dir and rest.
up_options() {
    profile=release data_dir=$(up_data_dir) rest=()
    while [ $# -gt 0 ]; do
        case $1 in
        --profile) profile=${2:?--profile needs a name} && shift ;;
        --data-dir) data_dir=$(readlink -m "${2:?--data-dir needs a folder}") && shift ;;
        *) rest+=("$1") ;;
        esac
        shift
    done
    say_file=$data_dir/up.json
}

# Prints the process id of the dormouse that 'up' started, if it still runs.
up_pid() {
    local pid
    [ -s "$say_file" ] || return 0
    pid=$(json_field pid <"$say_file")
    if [ -n "$pid" ] && { tr '\0' '\n' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -qxF -- "$data_dir"; then
        echo "$pid"
    fi
}

free_port() {
    local port
    for port in $(seq 3306 3400); do
        if port_free "$port"; then
            echo "$port"
            return
        fi
    done
    die "no port from 3306 to 3400 is free; name one with --listen"
}

# start_up: starts $binary and waits until it serves.
start_up() {
    local arguments=(--data-dir "$data_dir" --json up) pid
    mkdir -p "$data_dir"
    : >"$say_file"
    if [[ " ${rest[*]-} " != *" --config"* ]]; then
        printf '[engine]\nmariadbd = "%s"\n' "$(server_with_plugins)" >"$data_dir/dormouse.toml"
        arguments+=(--config "$data_dir/dormouse.toml")
    fi
    [[ " ${rest[*]-} " == *" --listen"* ]] || arguments+=(--listen "127.0.0.1:$(free_port)")
    setsid "$binary" "${arguments[@]}" "${rest[@]}" </dev/null >"$say_file" 2>>"$data_dir/log" &
    pid=$!
    # shellcheck disable=SC2016 # the inner shell expands them
    timeout 120 bash -c 'until [ -s "$1" ]; do kill -0 "$2" || exit 1; sleep 0.1; done' - "$say_file" "$pid" 2>/dev/null || {
        kill "$pid" 2>/dev/null || true
        die "dormouse did not start; the end of $data_dir/log:
$(tail -n 15 "$data_dir/log")"
    }
    disown
}

run() {
    local binary listen down
    up_options "$@"
    need_for up
    build "$profile"
    if [ -n "$(up_pid)" ]; then
        say "dormouse runs already (${rest[*]+arguments are not used; }process $(up_pid), log $data_dir/log)"
    else
        start_up
    fi
    if ! "$binary" --data-dir "$data_dir" show first --json >/dev/null 2>&1; then
        "$binary" --data-dir "$data_dir" create first >&2
    fi
    down=./dev\ down
    [ "$data_dir" = "$(up_data_dir)" ] || down+=" --data-dir $data_dir"
    listen=$(json_field listen <"$say_file")
    cat <<EOF

Dormouse serves${listen:+ on $listen}. Its data is in $data_dir.

  export DORMOUSE_DATA_DIR=$data_dir
  $binary ls
  $binary show first
  $binary events first --follow    see it suspend, park and wake
  $down    stop it

Open the first database:

mariadb --defaults-file=$data_dir/credentials/first
EOF
}
