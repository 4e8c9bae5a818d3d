# The Rust toolchain that rust-toolchain.toml names. Sourced after say.sh.

# The static distribution server: the short `sh.` name is not reachable from everywhere.
rustup_init=https://static.rust-lang.org/rustup/rustup-init.sh

pinned_rust() { sed -n 's/^channel *= *"\(.*\)"/\1/p' "$root/rust-toolchain.toml"; }

# need_rust: leaves a `cargo` of the pinned version on PATH. A rustup that is there already
# fetches the pinned toolchain by itself; a cargo of another origin and version does not count,
# so rustup's come first.
need_rust() {
    local home=${CARGO_HOME:-$HOME/.cargo}
    PATH=$home/bin:$PATH
    if ! command -v rustup >/dev/null && ! cargo_is_pinned; then
        say "Installing Rust $(pinned_rust) by rustup"
        curl -fsS --proto '=https' --tlsv1.2 --retry 3 "$rustup_init" |
            sh -s -- -y -q --no-modify-path --profile minimal --default-toolchain none >/dev/null ||
            die "rustup could not be installed from $rustup_init"
    fi
    cargo_is_pinned || { (cd "$root" && rustup -q toolchain install "$(pinned_rust)" \
        --profile minimal --component clippy --component rustfmt) && cargo_is_pinned; } || die "Rust $(pinned_rust) is not available"
}

cargo_is_pinned() {
    command -v cargo >/dev/null && (cd "$root" && cargo --version 2>/dev/null) | grep -q "^cargo $(pinned_rust) "
}

# need_cargo_deb: in .tools/cargo, by the very line that docs/operations.md prints, which the
# tests of the guides then run again and find done.
need_cargo_deb() {
    local line
    line=$(grep '^cargo install cargo-deb --locked --version [0-9.]*$' "$root/docs/operations.md") ||
        die "docs/operations.md does not say how to install cargo-deb"
    # Used once, so not worth being optimised. Words of ours, as for a reader who types them.
    # shellcheck disable=SC2086
    (cd "$root" && env CARGO_PROFILE_RELEASE_OPT_LEVEL=1 "CARGO_INSTALL_ROOT=$tools/cargo" $line --quiet) || die "cargo-deb could not be installed"
}
