# shellcheck shell=bash
# Variables shared by the shell programs of the clients. Sourced, never run.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034 # used by those who source this
NAP=$here/nap

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}
