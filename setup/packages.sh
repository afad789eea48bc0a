# The Debian packages tandem needs: the only list, sourced by quickstart and run-tests.
# shellcheck shell=bash disable=SC2034

# To build and serve. libcyaml's link line names libyaml, which its package does not bring along;
# curl is for the line that quickstart prints.
build_packages=(
    autoconf autoconf-archive automake gcc libc6-dev make pkg-config
    libcyaml-dev libjansson-dev libmicrohttpd-dev libpcre2-dev libyaml-dev
    ca-certificates curl python3 python3-pip
)

# To run every test as well.
test_packages=(
    clang clang-format libclang-rt-dev libcmocka-dev
    groff-base python3-venv shellcheck util-linux xz-utils
)

# packages_missing NAME...: prints those that are not installed.
packages_missing() {
    local name
    for name in "$@"; do
        case $(dpkg-query -W -f '${Status}' "$name" 2>/dev/null) in
            *"install ok installed") ;;
            *) echo "$name" ;;
        esac
    done
}

# packages_install ASK NAME...: installs what is missing. ASK is "ask" or "go".
# Returns 1, having said what to do, when it cannot.
packages_install() {
    local ask=$1 missing root=()
    shift
    if ! command -v dpkg-query apt-get >/dev/null; then
        echo "This is not Debian, so nothing is installed. Needed (Debian's names): $*" >&2
        return 0
    fi
    mapfile -t missing < <(packages_missing "$@")
    [ ${#missing[@]} -eq 0 ] && return 0

    echo "Debian packages to install: ${missing[*]}"
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "Not root, and there is no sudo. As root, run:" >&2
            echo "    apt-get update && apt-get install --no-install-recommends ${missing[*]}" >&2
            return 1
        fi
        root=(sudo)
    fi
    if [ "$ask" = ask ]; then
        local answer
        read -r -p "Install them now${root[0]:+ with sudo}? [Y/n] " answer || answer=n
        case $answer in
            "" | [Yy]*) ;;
            *) echo "Nothing installed. Run again when they are there." >&2; return 1 ;;
        esac
    fi
    if ! "${root[@]}" apt-get -qq update ||
        ! "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get -qq -y -o Dpkg::Use-Pty=0 install --no-install-recommends "${missing[@]}" \
            >"${PACKAGES_LOG:-/dev/null}"; then
        echo "Installing failed (see above). Check the network, the disk (df -h /) and" >&2
        echo "/etc/apt/sources.list, then run this again: it goes on where it stopped." >&2
        return 1
    fi
}
