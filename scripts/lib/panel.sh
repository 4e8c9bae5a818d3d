# The web panel's files, which the server's crate `panel` embeds, and its tests. Sourced
# after node.sh.

panel_web=$root/crates/panel/web

# panel_sources: one sum over everything that the built files come from.
panel_sources() {
    (cd "$panel_web" && find src public *.html *.json *.ts svelte.config.js -type f -print0 |
        LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
}

# need_panel_packages: what the panel is built with.
need_panel_packages() {
    need_locked_packages crates/panel/web panel-package-lock.json "the web panel's npm packages"
}

# need_panel: leaves the built panel in crates/panel/web/dist, and builds it only when its
# sources have changed. Needs need_node first.
need_panel() {
    local built=$panel_web/dist/index.html stamp=$tools/panel-sources
    [ -e "$built" ] && [ "$(panel_sources)" = "$(cat "$stamp" 2>/dev/null)" ] && return
    need_panel_packages
    say "Building the web panel"
    npm run --prefix "$panel_web" --silent build -- --logLevel error || die "The web panel could not be built"
    panel_sources >"$stamp"
}

# need_panel_tests: Playwright and axe.
need_panel_tests() {
    need_locked_packages tests/panel panel-tests-package-lock.json "the panel's test packages"
}

# panel_checks: types and words of the panel's sources, and of its tests.
panel_checks() {
    say "Checking the panel's types"
    npm run --prefix "$panel_web" --silent check && npm run --prefix "$root/tests/panel" --silent check
}

# panel_flows ARGUMENT...: every flow in a real browser against $SLUICE_BIN.
panel_flows() { npm test --prefix "$root/tests/panel" --silent -- "$@"; }
