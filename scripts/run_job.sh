#!/usr/bin/env bash
# Starts a program as N processes of one job on this machine, as torchrun would.
#
# Usage: scripts/run_job.sh N PROGRAM ARGUMENTS...
#   scripts/run_job.sh 2 build/release/bin/hessian-train run.toml
# Exit status: the largest of all processes.
set -euo pipefail
if [ $# -lt 2 ] || ! [[ $1 =~ ^[1-9][0-9]*$ ]]; then
  echo "usage: run_job.sh N PROGRAM ARGUMENTS..." >&2
  exit 2
fi
size=$1
shift
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export WORLD_SIZE=$size LOCAL_WORLD_SIZE=$size MASTER_ADDR=127.0.0.1 MASTER_PORT=$port
# Divides the cores among the processes: if each used all of them, they would only wait for each other.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((($(nproc) + size - 1) / size))}

processes=()
for ((rank = 0; rank < size; ++rank)); do
  RANK=$rank LOCAL_RANK=$rank "$@" &
  processes+=($!)
done
trap 'kill -TERM "${processes[@]}" 2>/dev/null' INT TERM
status=0
for process in "${processes[@]}"; do
  # A trapped signal interrupts wait while the process is still running, so wait is repeated until it has ended.
  while kill -0 "$process" 2>/dev/null; do
    if wait "$process"; then continue; else own=$?; fi
    kill -0 "$process" 2>/dev/null || status=$((own > status ? own : status))
  done
done
exit "$status"
