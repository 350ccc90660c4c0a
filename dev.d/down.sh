# shellcheck shell=bash
# ./dev down

# shellcheck source=dev.d/up.sh
. dev.d/up.sh

help_text() {
    cat <<'EOF'
usage: ./dev down [--data-dir DIR]

Parks the databases of './dev up', stops Dormouse and its warm servers. The data stays; the next
'./dev up' uses it again. Rows of MEMORY tables are lost, as with any stop of a server.
EOF
}

run() {
    local pid binary folder
    up_options "$@"
    pid=$(up_pid)
    binary=$(readlink "/proc/${pid:-none}/exe" || true)
    if [ ! -x "$binary" ]; then
        for folder in release debug; do
            binary=${CARGO_TARGET_DIR:-$top/target}/$folder/dormouse
            [ ! -x "$binary" ] || break
        done
    fi
    stop_dormouse "$binary" "$data_dir" "$pid"
    rm -f "$say_file"
    say "stopped${pid:+ (it was process $pid)}; the data is in $data_dir"
}
