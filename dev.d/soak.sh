# shellcheck shell=bash
# ./dev soak

help_text() {
    cat <<'EOF'
usage: ./dev soak [MINUTES [ATTACK...]]

Runs good clients and attackers side by side against a Dormouse with four databases that sleep and wake,
for MINUTES (default 30) after a round of one minute. Fails if a good client gets an error or loses a row,
or if Dormouse ends with more memory or descriptors than it had after the first round. ATTACK is the name
of an attack in tests/soak/hostile.rs; default: all.
EOF
}

run() {
    local binary
    need_for up
    build release
    DORMOUSE_TEST_BINARY=$binary DORMOUSE_TEST_MARIADBD=$(server_with_plugins) \
        cargo run --quiet --release -p dormouse-tests --example soak -- "$@"
}
