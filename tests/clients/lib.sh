# shellcheck shell=bash
# Shared by the shell clients. Sourced, never run.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034 # used by the sourcing scripts
NAP=$here/nap

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}
