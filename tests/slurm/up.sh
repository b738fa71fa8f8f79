#!/usr/bin/env bash
# A real SLURM of three nodes with four fake GPUs each, on this machine alone: loopback, own key, no systemd.
#   tests/slurm/up.sh ROOT && . ROOT/env.sh
# Installs the packages if it may. Exit status 3 where there can be none, or another is there already, which is not touched.
set -euo pipefail
ROOT=$(realpath -m "${1:?usage: up.sh ROOT}")
NODES=3 CPUS=8 MEM=128000 GPUS=4
HOST=$(hostname -s)
export PATH=$PATH:/usr/sbin:/sbin

refuse() { echo "slurm: $*" >&2; exit 3; }
[ "$(id -u)" = 0 ] || refuse "only root can start the daemons of a SLURM; not started"
case ${SLURM_CONF:-$ROOT/etc/slurm.conf} in "$ROOT"/*) ;; *) refuse "SLURM_CONF names another SLURM, $SLURM_CONF" ;; esac
for file in slurm.conf gres.conf cgroup.conf; do
  # the plugin starts srun without SLURM_CONF: the configuration must be found at the default place
  found=/etc/slurm/$file
  if [ -e "$found" ] || [ -L "$found" ]; then
    [ "$(readlink "$found")" = "$ROOT/etc/$file" ] || refuse "$found is of another SLURM; not touched"
  fi
done
bash "$(dirname "$0")/down.sh" "$ROOT"
for other in $(grep -lxE 'slurmctld|slurmd' /proc/[0-9]*/comm 2>/dev/null | cut -d/ -f3); do
  # a zombie runs no more
  ! grep -qs '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$other/status" || refuse "a SLURM daemon runs (process $other); not touched"
done
installed() { for command in slurmctld slurmd sbatch munged; do command -v "$command" >/dev/null || return 1; done; }
if ! installed; then
  command -v apt-get >/dev/null || refuse "not installed, and there is no apt-get"
  echo "slurm: installing its packages"
  said=$(mktemp)
  # no daemon of the packages' own is to start
  if [ -e /usr/sbin/policy-rc.d ]; then trap 'rm -f "$said"' EXIT; else
    trap 'rm -f "$said" /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d
  fi
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      slurmctld slurmd slurm-client munge; } > "$said" 2>&1 && installed ||
    { tail -n 5 "$said" >&2; refuse "its packages cannot be installed"; }
fi
getent hosts "$HOST" >/dev/null || echo "127.0.0.1 $HOST" >> /etc/hosts

umask 022
rm -rf "$ROOT"/{etc,state,spool,log,run,munge}
mkdir -p "$ROOT"/{etc,state,log,run,munge} /etc/slurm
for i in $(seq "$NODES"); do mkdir -p "$ROOT/spool/n$i"; done
# Devices, or SLURM would count them but not set CUDA_VISIBLE_DEVICES.
for g in $(seq 0 $((GPUS - 1))); do mknod -m 666 "$ROOT/run/gpu$g" c 1 3; done
chmod 711 "$ROOT/munge"
(umask 077; head -c 1024 /dev/urandom > "$ROOT/munge/key")

cat > "$ROOT/etc/slurm.conf" <<CONF
ClusterName=tests
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$ROOT/munge/sock,cred_expire=5
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation=$ROOT/state
SlurmdSpoolDir=$ROOT/spool/%n
SlurmctldPidFile=$ROOT/run/slurmctld.pid
SlurmdPidFile=$ROOT/run/slurmd.%n.pid
SlurmctldLogFile=$ROOT/log/slurmctld.log
SlurmdLogFile=$ROOT/log/slurmd.%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SwitchType=switch/none
MpiDefault=none
PriorityType=priority/basic
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=5,batch_sched_delay=0,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
MinJobAge=3600
KillWait=30
SlurmdTimeout=10
SlurmctldTimeout=10
MessageTimeout=10
InactiveLimit=0
ReturnToService=2
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
GresTypes=gpu
CONF
for i in $(seq "$NODES"); do
  echo "NodeName=n$i NodeHostname=$HOST NodeAddr=127.0.0.1 Port=$((17000 + i)) Sockets=1 CoresPerSocket=$CPUS" \
    "ThreadsPerCore=1 RealMemory=$MEM Gres=gpu:a100:$GPUS State=UNKNOWN"
done >> "$ROOT/etc/slurm.conf"
cat >> "$ROOT/etc/slurm.conf" <<CONF
PartitionName=gpu Nodes=n[1-$NODES] Default=YES MaxTime=INFINITE DefMemPerCPU=100 PriorityTier=1 GraceTime=20 State=UP
PartitionName=urgent Nodes=n[1-$NODES] Default=NO MaxTime=60 DefMemPerCPU=100 PriorityTier=10 PreemptMode=OFF State=UP
CONF
echo "Name=gpu Type=a100 File=$ROOT/run/gpu[0-$((GPUS - 1))]" > "$ROOT/etc/gres.conf"
printf 'CgroupAutomount=no\nConstrainCores=no\nConstrainRAMSpace=no\nConstrainDevices=no\n' > "$ROOT/etc/cgroup.conf"
for file in slurm.conf gres.conf cgroup.conf; do ln -sfn "$ROOT/etc/$file" "/etc/slurm/$file"; done
echo "export SLURM_CONF=$ROOT/etc/slurm.conf SLURM_ROOT=$ROOT PATH=\$PATH:/usr/sbin:/sbin" > "$ROOT/env.sh"
. "$ROOT/env.sh"

munged --force --key-file="$ROOT/munge/key" --socket="$ROOT/munge/sock" --pid-file="$ROOT/munge/pid" \
  --log-file="$ROOT/munge/log" --seed-file="$ROOT/munge/seed" --num-threads=2
slurmctld -c
for i in $(seq "$NODES"); do slurmd -N "n$i"; done
end=$((SECONDS + 60))
until [ "$(timeout 5 sinfo -h -N -p gpu -t idle -o %n 2>/dev/null | wc -l)" = "$NODES" ]; do
  if [ $SECONDS -gt $end ]; then
    tail -n 20 "$ROOT"/log/slurm*.log >&2
    echo "slurm: its nodes did not come up in 60 s" >&2
    exit 1
  fi
  sleep 0.25
done
timeout 5 sinfo -N -p gpu -o '%N %T %c %m %G'
