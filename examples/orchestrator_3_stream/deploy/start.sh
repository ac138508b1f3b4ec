#!/usr/bin/env bash
# Starts everything in containers: ./start.sh [options of docker compose up]
# Creates BETTER_AUTH_SECRET in .env where there is none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

[[ -f .env ]] || { echo "start.sh: .env is missing: cp .env.example .env, and fill it in" >&2; exit 1; }
./create-secret.sh .env
exec docker compose up --build --detach "$@"
