#!/usr/bin/env bash
# End all that up.sh started at ROOT and all that was started on it, and remove its links in /etc/slurm.
#   tests/slurm/down.sh ROOT
# It is told from other processes by its environment and by where it works; nothing else is touched.
ROOT=$(realpath -m "${1:?usage: down.sh ROOT}")
[ -f "$ROOT/env.sh" ] || exit 0
. "$ROOT/env.sh"

# With this SLURM's configuration: its daemons and the tests on it; with that or in a job: what works below ROOT.
ours() {
  local pid
  for pid in $(grep -lzE "^(SLURM_CONF=$ROOT/etc/slurm\.conf|SLURM_JOB_ID=[0-9]+)\$" /proc/[0-9]*/environ 2>/dev/null |
    cut -d/ -f3); do
    case $(readlink "/proc/$pid/cwd") in "$ROOT"/*) echo "$pid" && continue ;; esac
    grep -qzx "SLURM_CONF=$ROOT/etc/slurm.conf" "/proc/$pid/environ" 2>/dev/null || continue
    case $(tr '\0' ' ' 2>/dev/null < "/proc/$pid/cmdline") in *pytest*tests/slurm*) echo "$pid" && continue ;; esac
    case $(cat "/proc/$pid/comm" 2>/dev/null) in
      munged | slurmctld | slurmscriptd | slurmd | slurmstepd) echo "$pid" ;;
    esac
  done
}

timeout 10 scancel --user="$(id -un)" 2>/dev/null
for turn in $(seq 20); do
  [ -n "$(timeout 5 squeue -h 2>/dev/null)" ] || break
  sleep 0.25
done
for turn in $(seq 60); do
  left=$(ours)
  [ -n "$left" ] || break
  # shellcheck disable=SC2086
  case $turn in 1) kill $left ;; 2[0-9]) kill -9 $left ;; esac 2>/dev/null
  sleep 0.25
done
for file in slurm.conf gres.conf cgroup.conf; do
  [ "$(readlink "/etc/slurm/$file")" = "$ROOT/etc/$file" ] && rm "/etc/slurm/$file"
done
[ -z "$left" ] || { echo "slurm: still running:" $left >&2; exit 1; }
