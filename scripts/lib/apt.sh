# Debian packages. Sourced after say.sh.

# as_root COMMAND...: runs it as root, or fails when neither root nor sudo is ours.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        return 127
    fi
}

# missing_packages NAME...: prints those that dpkg does not know as installed.
missing_packages() {
    local name
    for name in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || echo "$name"
    done
}

# without_services COMMAND...: runs it where no package starts a service: the proxies that
# the tests run would take ports of this machine. A policy that is there already stays.
without_services() {
    local policy=/usr/sbin/policy-rc.d result=0
    [ ! -e "$policy" ] || { "$@"; return; }
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null && as_root chmod +x "$policy"
    "$@" || result=$?
    as_root rm -f "$policy"
    return $result
}

# apt_get ARGUMENT...: quiet, and never asks.
apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" >/dev/null
}

# need_packages NAME...: installs what is missing. Without the right to, it prints the one
# line that someone with the right has to run, and stops.
need_packages() {
    command -v dpkg-query >/dev/null || die "This script knows Debian 12 only; install by hand: $*"
    local missing
    missing=$(missing_packages "$@" | tr '\n' ' ')
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
        die "These packages are missing, and this user may not install them. As root, run:

    apt-get update && apt-get install -y --no-install-recommends $missing"
    fi
    say "Installing $missing"
    # The package names are words of ours, so splitting them is what we want.
    # shellcheck disable=SC2086
    without_services apt_get install -y --no-install-recommends $missing 2>/dev/null ||
        { apt_get update && without_services apt_get install -y --no-install-recommends $missing; } ||
        die "apt could not install: $missing"
}
