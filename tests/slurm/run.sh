#!/usr/bin/env bash
# Start a SLURM of three nodes, run the tests of this folder on it, and end it. Exit status 3: there can be none here.
#   tests/slurm/run.sh [pytest's flags]
set -euo pipefail
cd "$(dirname "$0")/../.."
ROOT=${SLURM_TEST_ROOT:-/tmp/temporal-trap-slurm}
bash tests/slurm/up.sh "$ROOT"
trap 'bash tests/slurm/down.sh "$ROOT"' EXIT
. "$ROOT/env.sh"
rm -rf "$ROOT"/{template,test_}*
export OMP_NUM_THREADS=1
.venv/bin/pytest -q -n 6 --dist loadgroup "$@" tests/slurm
