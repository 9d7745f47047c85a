#!/usr/bin/env bash
# run_job.sh N PROGRAM ARGUMENTS...: starts a program as N processes of one job on this machine, as torchrun would:
#   scripts/run_job.sh 2 build/release/bin/hessian-train run.toml
# What the first process prints is the job's output. Ends with the largest exit status of all.
set -euo pipefail
if [ $# -lt 2 ] || ! [[ $1 =~ ^[1-9][0-9]*$ ]]; then
  echo "usage: run_job.sh N PROGRAM ARGUMENTS..." >&2
  exit 2
fi
size=$1
shift
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export WORLD_SIZE=$size LOCAL_WORLD_SIZE=$size MASTER_ADDR=127.0.0.1 MASTER_PORT=$port
# Processes that each take every core only wait for each other.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((($(nproc) + size - 1) / size))}

processes=()
for ((rank = 0; rank < size; ++rank)); do
  RANK=$rank LOCAL_RANK=$rank "$@" &
  processes+=($!)
done
trap 'kill -TERM "${processes[@]}" 2>/dev/null' INT TERM
status=0
for process in "${processes[@]}"; do
  # A signal ends the waiting, not the process.
  while kill -0 "$process" 2>/dev/null; do
    if wait "$process"; then continue; else own=$?; fi
    kill -0 "$process" 2>/dev/null || status=$((own > status ? own : status))
  done
done
exit "$status"
