#!/usr/bin/env bash
# Starts the three services, with a database of your own: ./start.sh
# Ctrl-C ends them all; so does the end of one. PYTHON=… names another Python; AUTH_PORT, API_PORT, FRONTEND_PORT ports.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

python=${PYTHON:-python3}
auth_port=${AUTH_PORT:-9404} api_port=${API_PORT:-9403} frontend_port=${FRONTEND_PORT:-5175}

fail() {
    printf 'start.sh: %s\n' "$*" >&2
    exit 1
}

# --- is everything there?

for folder in auth-service frontend; do
    [[ -f $folder/.env ]] || fail "$folder/.env is missing: cp $folder/.env.example $folder/.env, and fill it in"
done
[[ -n ${BETTER_AUTH_SECRET:-} ]] || deploy/create-secret.sh auth-service/.env
command -v node >/dev/null && command -v npm >/dev/null || fail "node is missing: install Node 22.12 or later, with npm"
node -e 'const [major, minor] = process.versions.node.split("."); process.exit(major * 100 + +minor >= 2212 ? 0 : 1)' ||
    fail "node is $(node --version): 22.12 or later is needed"
command -v "$python" >/dev/null || fail "$python is missing: PYTHON=… names another"
for module in auth_middleware uvicorn; do
    "$python" -c "import $module" 2>/dev/null || fail "$python has no $module: pip install it, or name another with PYTHON=…"
done
for port in "$auth_port" "$api_port" "$frontend_port"; do
    if (exec 3<>"/dev/tcp/localhost/$port") 2>/dev/null; then fail "port $port is taken: end the program that listens there"; fi
done
for folder in auth-service frontend; do
    if [[ $folder/package-lock.json -nt $folder/node_modules/.package-lock.json ]]; then
        echo "installs $folder"
        (cd "$folder" && npm ci --no-audit --no-fund --loglevel=error)
    fi
done

# --- start, and end together

names=() pids=()
start() { # name folder command…
    local name=$1 folder=$2
    shift 2
    (cd "$folder" && exec "$@") > >(with_name "$name") 2>&1 </dev/null &
    names+=("$name") pids+=($!)
}

with_name() {
    while IFS= read -r line; do printf '[%s] %s\n' "$1" "$line"; done
}

finish() {
    trap '' INT TERM HUP
    kill "${pids[@]}" 2>/dev/null || true
    for _ in {1..100}; do
        kill -0 "${pids[@]}" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "${pids[@]}" 2>/dev/null || true
}

trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Over what .env says: a port that was checked above is the one that is used.
export AUTH_PORT=$auth_port
start auth-service auth-service node_modules/.bin/tsx watch --clear-screen=false src/index.ts
# The backend needs what the auth-service needs, so both read one file.
start backend backend "$python" -m uvicorn main:app --port "$api_port" --env-file ../auth-service/.env
start frontend frontend node_modules/.bin/vite --port "$frontend_port" --clearScreen false

while sleep 0.5; do
    for index in "${!pids[@]}"; do
        kill -0 "${pids[$index]}" 2>/dev/null || fail "the ${names[$index]} has ended, and so do the others"
    done
done
