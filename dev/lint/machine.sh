#!/bin/sh
# Checks that the build prerequisites are installed. Prints the Python to use; lists what is missing, and how to install
# it, on stderr.
# Usage: machine.sh OLDEST_RUST [PYTHON [NEWEST_RUST]]
# With NEWEST_RUST, a newer minor version of Rust is an error.

oldest_rust=$1
newest_rust=$3
status=0

missing() {
    echo "missing: $1. To get it: $2" >&2
    status=1
}

# Whether version $1 is at most version $2.
at_most() {
    [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

python=
for candidate in ${2:+"$2"} python3 python3.14 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    missing "Python 3.11 or later" "apt-get install python3 python3-venv, or name another one: make PYTHON=..."
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    missing "the venv module of $python" "apt-get install python3-venv"
fi

rust=$(cargo --version 2>/dev/null | cut -d ' ' -f 2)
if [ -z "$rust" ]; then
    missing "Rust $oldest_rust or later" "install rustup from rustup.rs, then: rustup default stable"
elif ! at_most "$oldest_rust" "$rust"; then
    missing "Rust $oldest_rust or later; found $rust" "rustup update stable"
elif [ -n "$newest_rust" ] && ! at_most "$(echo "$rust" | cut -d . -f 1,2)" "$newest_rust"; then
    missing "Rust $oldest_rust to $newest_rust, for lint; found $rust" \
        "rustup default $newest_rust, or fix the new lints and raise newest-rust in Cargo.toml"
fi

command -v cc >/dev/null || missing "a C compiler" "apt-get install gcc libc6-dev"

echo "$python"
exit "$status"
