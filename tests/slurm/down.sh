#!/usr/bin/env bash
# End the SLURM that up.sh started at ROOT: its jobs, its daemons by their process ids, and its links in /etc/slurm.
ROOT=$(realpath -m "${1:?usage: down.sh ROOT}")
[ -f "$ROOT/env.sh" ] || exit 0
. "$ROOT/env.sh"
timeout 10 scancel --user="$(id -un)" 2>/dev/null
alive() { pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] && grep -q '^State:[[:space:]]*[^ZX]' "/proc/$pid/status" 2>/dev/null; }
all() { ls "$ROOT"/run/*.pid "$ROOT"/munge/pid 2>/dev/null; }
for turn in $(seq 100); do
  [ -n "$(timeout 5 squeue -h 2>/dev/null)" ] || break
  sleep 0.25
done
for file in $(all); do alive "$file" && kill "$(cat "$file")"; done
for turn in $(seq 40); do
  left=0
  for file in $(all); do alive "$file" && left=1; done
  [ $left = 0 ] && break
  sleep 0.25
done
for file in slurm.conf gres.conf cgroup.conf; do
  [ "$(readlink "/etc/slurm/$file")" = "$ROOT/etc/$file" ] && rm "/etc/slurm/$file"
done
[ $left = 0 ] || { echo "slurm: still running after 10 s" >&2; exit 1; }
