# The web panel's files, which the server's crate `panel` embeds. Sourced after node.sh.

panel_web=$root/crates/panel/web

# panel_sources: one sum over everything that the built files come from.
panel_sources() {
    (cd "$panel_web" && find src public *.html *.json *.ts svelte.config.js -type f -print0 |
        LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
}

# need_panel: leaves the built panel in crates/panel/web/dist, and builds it only when its
# sources have changed. Needs need_node first.
need_panel() {
    local built=$panel_web/dist/index.html stamp=$tools/panel-sources lock=$tools/panel-package-lock.json
    [ -e "$built" ] && [ "$(panel_sources)" = "$(cat "$stamp" 2>/dev/null)" ] && return
    if ! cmp -s "$panel_web/package-lock.json" "$lock" || [ ! -d "$panel_web/node_modules" ]; then
        say "Installing the web panel's npm packages"
        npm ci --prefix "$panel_web" --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null ||
            die "npm ci failed in crates/panel/web"
        cp "$panel_web/package-lock.json" "$lock"
    fi
    say "Building the web panel"
    npm run --prefix "$panel_web" --silent build -- --logLevel error || die "The web panel could not be built"
    panel_sources >"$stamp"
}
