#!/usr/bin/env bash
# Installs each peer into an environment of its own: LAB=FOLDER benchmarks/peers.sh [dbt] [sqlmesh] [dagster] [lea]
# Newest versions, compiled to bytecode as any installation is; nothing but Python, pip and a package index is needed.
set -euo pipefail
: "${LAB:?set LAB to the folder that gets one environment a peer}"
unset PYTHONDONTWRITEBYTECODE
PYTHON=${PYTHON:-python3}
mkdir -p "$LAB"

install() { # PEER PACKAGE...
    "$LAB/$1/bin/python" -m pip install --quiet --disable-pip-version-check --compile "${@:2}"
}

# dbt-core 1.12 names a package whose build downloads a program of its own, and runs without it: so dbt comes without
# what it depends on, which is then installed by what it says itself, but for that package.
dbt_without_download() {
    install dbt --no-deps "dbt-core>=1.12,<2" dbt-duckdb
    "$LAB/dbt/bin/python" - >"$LAB/dbt/requirements.txt" <<'PY'
import re
from importlib.metadata import requires

LEFT_OUT = {"dbt-core", "dbt-core-experimental-parser"}
for package in ("dbt-core", "dbt-duckdb"):
    for requirement in requires(package) or []:
        if "extra ==" not in requirement and re.split(r"[^\w-]", requirement)[0] not in LEFT_OUT:
            print(requirement)
PY
    install dbt --requirement "$LAB/dbt/requirements.txt"
}

[ $# -gt 0 ] || set -- dbt sqlmesh dagster lea
for peer in "$@"; do
    "$PYTHON" -m venv "$LAB/$peer"
    case $peer in
    dbt) dbt_without_download ;;
    sqlmesh) install sqlmesh sqlmesh ;;
    dagster) install dagster dagster dagster-duckdb ;;
    lea) install lea lea-cli ;;
    *) echo "no peer is called $peer" >&2 && exit 2 ;;
    esac
    "$LAB/$peer/bin/python" -m pip list --disable-pip-version-check | grep -iE "^(dbt-core|dbt-duckdb|sqlmesh|dagster|lea-cli|duckdb) "
done
