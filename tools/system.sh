#!/bin/sh
# Installs the programs that some tests need: `tools/system.sh git strace tmux`. With CI=true a missing one is an error.
set -eu

absent() {
    for program in "$@"; do
        if [ "$program" = strace ] && [ "$(uname)" != Linux ]; then continue; fi
        command -v "$program" >/dev/null || printf '%s ' "$program"
    done
}

install() {
    sudo=""
    [ "$(id -u)" = 0 ] || sudo="sudo -n"
    if command -v apt-get >/dev/null; then
        export DEBIAN_FRONTEND=noninteractive
        $sudo apt-get update -qq && $sudo apt-get install -qq -y --no-install-recommends "$@" >/dev/null
    elif command -v brew >/dev/null; then
        brew install --quiet "$@"
    else
        false
    fi
}

missing=$(absent "$@")
[ -n "$missing" ] || exit 0
echo "Installing $missing"
# shellcheck disable=SC2086  # a list of words
install $missing || echo "Could not install them." >&2
missing=$(absent "$@")
[ -n "$missing" ] || exit 0
echo "Missing: $missing- the tests that need them are skipped; install them by hand." >&2
[ "${CI:-}" != true ]
