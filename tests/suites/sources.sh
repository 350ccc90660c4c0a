# shellcheck shell=bash
# Downloads the sources of the suites, each checked against its SHA-256 in sources.txt.
# Sourced, never run, under 'set -e'; needs dev.d/lib.sh and $suites.
# shellcheck disable=SC2154,SC2164

# source_of SUITE: the folder with the suite's unpacked source.
source_of() {
    local sum
    sum=$(awk -v suite="$1" '$1 == suite { print $4 }' "$suites/sources.txt")
    echo "$(cache_dir)/suites/sources/$1-${sum:0:12}"
}

# The archive of this machine's own release, from its apt configuration.
debian_mirror() {
    local own
    own=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    apt-get indextargets --format "\$(REPO_URI) \$(RELEASE) \$(COMPONENT)" 'Created-By: Packages' 2>/dev/null |
        awk -v own="$own" '$3 == "main" && ($2 == own || $2 ~ /^(old)?stable$/) { print $1; exit }'
}

# debian_source DIR PACKAGE=VERSION: downloads upstream's archive of a source package of Debian 13 into DIR,
# with an apt configuration separate from the machine's own.
debian_source() {
    local dir=$1 apt=$1/apt uri keys=/usr/share/keyrings/debian-archive-keyring.gpg
    uri=$(debian_mirror)
    [ -n "$uri" ] || die "this machine's apt sources have no Debian mirror"
    [ -r "$keys" ] || die "the package debian-archive-keyring is missing; install it"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/state"
    : >"$apt/state/status"
    printf 'deb-src [signed-by=%s] %s trixie main\n' "$keys" "$uri" >"$apt/sources.list"
    cat >"$apt/apt.conf" <<APT
Dir::State "$apt/state";
Dir::State::lists "$apt/lists";
Dir::State::status "$apt/state/status";
Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Sandbox::User "root";
Acquire::Languages "none";
APT
    (
        export APT_CONFIG=$apt/apt.conf
        quietly apt-get update -q || die "cannot read the list of Debian's sources"
        cd "$dir"
        # A mirror may lack an archive of another part of the package; the checksum shows whether upstream's came.
        apt-get source -q --download-only --tar-only "$2" >/dev/null 2>&1 || true
    )
    rm -rf "$apt"
    find "$dir" -type f ! -name '*.orig.tar.*' -delete
    [ -n "$(find "$dir" -type f)" ]
}

# fetch_source SUITE: downloads and unpacks its source, unless that was done before.
fetch_source() {
    local suite=$1 home work registry package sum archive
    home=$(source_of "$suite")
    [ ! -e "$home" ] || return 0
    [ -z "${DORMOUSE_NO_INSTALL:-}" ] || die "the tests of $suite are not in $home, and nothing is to be installed"
    read -r _ registry package sum <<<"$(grep "^$suite " "$suites/sources.txt")"
    say "fetching $package for the suite $suite"
    mkdir -p "${home%/*}"
    work=$(mktemp -d "$home.XXXXXX")
    case $registry in
    pypi) quietly python3 -m pip download -q --disable-pip-version-check --no-deps --no-binary "${package%%=*}" -d "$work" "$package" ;;
    npm)
        have npm || need_packages npm
        quietly npm pack --silent --pack-destination "$work" "$package"
        ;;
    debian) debian_source "$work" "$package" ;;
    esac || {
        rm -rf "$work"
        die "cannot download $package"
    }
    archive=$(find "$work" -type f)
    echo "$sum  $archive" | sha256sum --check --status || {
        rm -rf "$work"
        die "$package is not what it was (SHA-256); see tests/suites/sources.txt"
    }
    tar -xf "$archive" -C "$work" --strip-components=1 --no-same-owner
    rm "$archive"
    chmod 755 "$work"
    mv "$work" "$home"
}
