# shellcheck shell=bash
# ./dev lint
: "${top:?}"

help_text() {
    cat <<'EOF'
usage: ./dev lint

Runs these checks as separate steps: formatting (cargo fmt), clippy with warnings as errors
(of the fuzz targets too), documentation without broken links, dependencies (tools/check-dependencies: licences, sources, bans,
wildcards and duplicates as deny.toml says; and cargo-deny for the same and advisories, if it is
installed), the bill of materials (tools/sbom), shell scripts (shellcheck), and that no text names a
path of one machine. './dev test' checks the dependencies between crates.
EOF
}

lint_dependencies() {
    tools/check-dependencies
    if ! cargo deny --version >/dev/null 2>&1; then
        echo "cargo-deny is not installed: advisories and yanked versions are not checked"
        return
    fi
    cargo deny --offline --log-level warn check bans licenses sources </dev/null
    # needs the database of advisories, from the network or an earlier run
    cargo deny --log-level warn check advisories </dev/null
}

# The shell scripts among the tracked files, by their first line.
shell_scripts() {
    git ls-files -z | xargs -0 -r awk 'FNR == 1 && (/^#!.*(bash|\/sh)$/ || /^# shellcheck shell=/) { print FILENAME }'
}

lint_shell() {
    local scripts
    mapfile -t scripts < <(shell_scripts)
    # SC2016: single quotes are meant where text is written for another shell.
    shellcheck --external-sources --exclude=SC2016 "${scripts[@]}"
    echo "${#scripts[@]} scripts"
}

# Paths that exist on one machine only.
lint_texts() {
    local found=no place
    for place in "$top/" '/home/[a-z]\+/' '/Users/[a-z]\+/'; do
        ! git grep -nI -e "$place" -- . ':!dev.d/lint.sh' || found=yes
    done
    ! git grep -nI -e '^<<<<<<< ' -e '^>>>>>>> ' || found=yes
    [ "$found" = no ] || die "paths of one machine, or leftovers of a merge, in the texts above"
}

run() {
    need_for lint
    step "formatting" cargo fmt --all --check
    step "clippy" cargo clippy --workspace --all-targets -- -D warnings
    # a workspace of its own
    step "clippy of the fuzz targets" cargo clippy --locked --manifest-path fuzz/Cargo.toml --target-dir target -- -D warnings
    # private items are documented too, so that links to them resolve
    step "documentation" env RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --workspace --no-deps --document-private-items --quiet
    step "dependencies" lint_dependencies
    step "bill of materials" tools/sbom --check
    step "shell scripts" lint_shell
    step "texts" lint_texts
    steps_end
}
