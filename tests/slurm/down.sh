#!/usr/bin/env bash
# End the SLURM that up.sh started at ROOT: its jobs, its daemons by their process ids, and its links in /etc/slurm.
ROOT=$(realpath -m "${1:?usage: down.sh ROOT}")
[ -f "$ROOT/env.sh" ] || exit 0
. "$ROOT/env.sh"
timeout 10 scancel --user="$(id -un)" 2>/dev/null
alive() { grep -q '^State:[[:space:]]*[^ZX]' "/proc/$1/status" 2>/dev/null; }
for turn in $(seq 100); do
  [ -n "$(timeout 5 squeue -h 2>/dev/null)" ] || break
  sleep 0.25
done
# A daemon removes its file before it ends.
pids=$(cat "$ROOT"/run/*.pid "$ROOT"/munge/pid 2>/dev/null)
left=
for turn in $(seq 120); do
  left=
  for pid in $pids; do alive "$pid" && left="$left $pid"; done
  [ -n "$left" ] || break
  [ "$turn" = 1 ] && kill $left
  [ "$turn" = 100 ] && kill -9 $left
  sleep 0.25
done
for file in slurm.conf gres.conf cgroup.conf; do
  [ "$(readlink "/etc/slurm/$file")" = "$ROOT/etc/$file" ] && rm "/etc/slurm/$file"
done
[ -z "$left" ] || { echo "slurm: still running:$left" >&2; exit 1; }
