# shellcheck shell=bash
# ./dev bench

help_text() {
    cat <<'EOF'
usage: ./dev bench [ARGUMENTS of the benchmark program]

Installs sysbench and haproxy if they are missing, builds with optimisation and measures Dormouse
against a plain server and HAProxy in the same run: throughput, latency and CPU per query, many
clients on few backends, short connections, wakes, creates, memory per idle client. Prints one table
and writes it as JSON. Takes about twenty minutes; use an otherwise idle machine.

EOF
    [ -z "$(type -P cargo)" ] || cargo run --quiet --release -p dormouse-bench -- --help
}

run() {
    local binary
    need_for bench
    build release
    DORMOUSE_BINARY=$binary DORMOUSE_BENCH_MARIADBD=$(server_with_plugins) \
        cargo run --release -p dormouse-bench -- "$@"
}
