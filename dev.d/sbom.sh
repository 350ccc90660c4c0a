# shellcheck shell=bash
# ./dev sbom
: "${top:?}"

help_text() {
    cat <<'EOF'
usage: ./dev sbom [> FILE]

Writes the bill of materials of the program `dormouse` as CycloneDX 1.5 JSON to stdout: every package
that is linked into it or runs to build it, with licence, checksum and what it needs. './dev lint'
checks that it is complete.
EOF
}

run() {
    "$top/tools/sbom"
}
