# The Python side of the tests in a virtual environment of its own. Sourced after say.sh.

# need_python_packages: .tools/python holds what tests/clients/requirements.txt names.
# Debian's own python3 makes it: another one first on PATH may lack what apt installed.
need_python_packages() {
    local wanted=$root/tests/clients/requirements.txt
    cmp -s "$wanted" "$tools/python/requirements.txt" && return
    say "Installing the Python test peers"
    /usr/bin/python3 -m venv --clear "$tools/python" &&
        "$tools/python/bin/pip" -q --disable-pip-version-check install -r "$wanted" &&
        cp "$wanted" "$tools/python/requirements.txt" || die "pip could not install tests/clients/requirements.txt"
}
