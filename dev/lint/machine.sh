#!/bin/sh
# Is everything here that a build starts from? Prints the Python to use; what is missing goes to stderr, with what to install.
# Usage: machine.sh OLDEST_RUST [PYTHON]

oldest_rust=$1
status=0

missing() {
    echo "missing: $1. To get it: $2" >&2
    status=1
}

python=
for candidate in ${2:+"$2"} python3 python3.14 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    missing "Python 3.11 or later" "apt-get install python3 python3-venv; one elsewhere: make PYTHON=..."
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    missing "the venv module of $python" "apt-get install python3-venv"
fi

rust=$(cargo --version 2>/dev/null | cut -d ' ' -f 2)
if [ -z "$rust" ]; then
    missing "Rust $oldest_rust or later" "rustup, from rustup.rs, then: rustup default stable"
elif [ "$(printf '%s\n' "$oldest_rust" "$rust" | sort -V | head -n 1)" != "$oldest_rust" ]; then
    missing "Rust $oldest_rust or later; here is $rust" "rustup update stable"
fi

command -v cc >/dev/null || missing "a C compiler" "apt-get install gcc libc6-dev"

echo "$python"
exit "$status"
