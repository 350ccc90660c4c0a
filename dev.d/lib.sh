# shellcheck shell=bash
# Functions shared by ./dev and the tools: messages, errors, the cache folder, installing packages.
# Sourced, never run.

# Messages go to stderr, so that scripts can use the stdout of a tool.
say() { printf '%s\n' "$*" >&2; }

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Folder for downloads that are kept between runs. The unprivileged users of the servers cannot
# read root's home, so for root it is elsewhere.
cache_dir() {
    if [ -n "${DORMOUSE_CACHE:-}" ]; then
        printf '%s\n' "$DORMOUSE_CACHE"
    elif [ "$(id -u)" -eq 0 ]; then
        printf '/var/cache/dormouse\n'
    else
        printf '%s/dormouse\n' "${XDG_CACHE_HOME:-$HOME/.cache}"
    fi
}

# quietly COMMAND…: runs it and shows its output only if it fails.
quietly() {
    local output status=0
    output=$("$@" </dev/null 2>&1) || status=$?
    [ "$status" -eq 0 ] || say "$output"
    return "$status"
}

# json_field NAME: the values of a field of the JSON on stdin that are a word, a number or a plain
# text; if a line has several fields of that name, the last one.
json_field() {
    sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",}]*\)\"\{0,1\}.*/\1/p"
}

# installed PACKAGE: whether dpkg lists it as installed.
installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]
}

# as_root COMMAND…: runs it as root, with sudo if the current user is not root.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif have sudo; then
        sudo -- "$@"
    else
        die "needs root for: $*
Run it as root, or install sudo; DORMOUSE_NO_INSTALL=1 skips every installation."
    fi
}

# need_packages PACKAGE…: lists and installs those that are missing.
need_packages() {
    local package missing=()
    for package in "$@"; do
        installed "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ -n "${DORMOUSE_NO_INSTALL:-}" ]; then
        say "not installed, as asked: ${missing[*]}"
        return 0
    fi
    have apt-get || die "needs Debian packages: ${missing[*]}
This is no Debian system; install their like by hand and run again with DORMOUSE_NO_INSTALL=1."
    say "installing: ${missing[*]}"
    apt_lists
    quietly as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        "${missing[@]}" || die "apt-get could not install: ${missing[*]}"
}

# Fetches the package lists once per run of the caller.
apt_lists() {
    [ -z "${apt_lists_fresh:-}" ] || return 0
    quietly as_root apt-get update -q || say "warning: apt-get update failed, going on with old lists"
    apt_lists_fresh=yes
}
