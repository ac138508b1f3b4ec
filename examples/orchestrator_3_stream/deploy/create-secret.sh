#!/usr/bin/env bash
# Writes a new BETTER_AUTH_SECRET to a settings file that has none: deploy/create-secret.sh FILE
# A secret that is there is never changed: a new one would sign everybody out.
set -euo pipefail

file=${1:?usage: create-secret.sh FILE}
if [[ -f $file ]] && grep -Eq '^[[:space:]]*(export[[:space:]]+)?BETTER_AUTH_SECRET[[:space:]]*=[[:space:]]*[^[:space:]]' "$file"; then
    exit 0
fi
secret=$(od -An -v -N32 -tx1 /dev/urandom | tr -d ' \n')
[[ ${#secret} == 64 ]] || { echo "create-secret.sh: /dev/urandom gave no secret" >&2; exit 1; }

# Beside the file and then in its place, so that nobody sees half of it. Only the owner may read it.
umask 077
new=$(mktemp "$file.XXXXXX")
trap 'rm -f "$new"' EXIT
# Without the empty line that .env.example has; others stay as they are.
if [[ -f $file ]]; then
    grep -Ev '^[[:space:]]*(export[[:space:]]+)?BETTER_AUTH_SECRET[[:space:]]*=[[:space:]]*$' "$file" >"$new" || true
    [[ -z $(tail -c 1 "$new") ]] || echo >>"$new"
fi
echo "BETTER_AUTH_SECRET=$secret" >>"$new"
mv "$new" "$file"
echo "created BETTER_AUTH_SECRET in $file"
