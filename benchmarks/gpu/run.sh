#!/usr/bin/env bash
# One command on a machine with a GPU where genrec is not installed: benchmarks/gpu/run.sh [--wheels DIR] [arguments of the kit]
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ "${1:-}" = --wheels ]; then
    site=$(mktemp -d)
    python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" "$2"/*.whl
    export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
    shift 2
fi
export PYTHONPATH="$PWD/src:$PWD/baselines${PYTHONPATH:+:$PYTHONPATH}"
exec python3 -m benchmarks.gpu "$@"
