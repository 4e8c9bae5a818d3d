# What every script here shares: where the checkout is, how to speak, how to stop.
# Sourced, never run. Sets `root` and puts the tools that we installed on PATH.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tools=$root/.tools

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }

die() {
    printf '%s\n' "$*" >&2
    exit 1
}

# version_at_least HAVE WANT: true when HAVE, as a dotted number, is WANT or newer.
version_at_least() {
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# Node and pip bring certificates of their own and do not look at the machine's, which a
# company network may need.
machine_certificates=/etc/ssl/certs/ca-certificates.crt
if [ -r "$machine_certificates" ]; then
    export NODE_EXTRA_CA_CERTS=${NODE_EXTRA_CA_CERTS:-$machine_certificates} PIP_CERT=${PIP_CERT:-$machine_certificates}
fi
