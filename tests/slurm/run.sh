#!/usr/bin/env bash
# Start a SLURM of three nodes, run the tests of this folder on it, and end it, also when interrupted.
#   tests/slurm/run.sh [pytest's flags]
# Exit status 3 where there can be no SLURM (not root, no packages, another SLURM); 0 with SLURM_TESTS=where-possible.
set -euo pipefail
cd "$(dirname "$0")/../.."
ROOT=$(realpath -m "${SLURM_TEST_ROOT:-/tmp/temporal-trap-slurm}")
exec 9> "$ROOT.lock"
flock --nonblock 9 || { echo "slurm: the tests are running already, in $ROOT" >&2; exit 1; }

tests=
end() {
  status=$?
  trap '' INT TERM HUP
  [ -z "$tests" ] || kill "$tests" 2>/dev/null || true
  bash tests/slurm/down.sh "$ROOT" || status=1
  case $status in
    0) rm -rf "$ROOT" "$ROOT.lock" ;;
    3)
      echo "=== THE TESTS ON SLURM DID NOT RUN: there can be none on this machine, for the reason above. ===" >&2
      [ "${SLURM_TESTS:-}" != where-possible ] || status=0 ;;
    *) echo "slurm: what the tests, the jobs and the daemons left is in $ROOT" >&2 ;;
  esac
  exit "$status"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

bash tests/slurm/up.sh "$ROOT" 9>&-
. "$ROOT/env.sh"
rm -rf "$ROOT"/{template,test_}*
export OMP_NUM_THREADS=1
# A worker a file: they wait more than they compute, and the tests of a file may share a node. In the background, or a
# signal would be heard only after the last test.
workers=$(find tests/slurm -name 'test_*.py' | wc -l)
.venv/bin/pytest -q -rs -n "$workers" --dist loadfile --max-worker-restart 0 --durations 15 "$@" tests/slurm 9>&- &
tests=$!
wait "$tests"
tests=
