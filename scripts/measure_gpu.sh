#!/usr/bin/env bash
# Measures all that is to be known of one CUDA device, in about ten minutes, and leaves it in a text file: shares of the device's
# limits that training steps and Hessian-vector products reach, the cost of SimpleNorm, and the same steps and products in PyTorch.
#
# Usage: scripts/measure_gpu.sh BUILD [FILE]
#   BUILD  where the programs were built, as build/release
#   FILE   what is written; gpu-measurements.txt if absent
# The comparisons with other tools need .venv-peers (scripts/setup.sh --peers); without it they are left out, and the file says so.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:?scripts/measure_gpu.sh: give the build folder, as build/release}
file=${2:-gpu-measurements.txt}

if ! "$build/bin/device_times" --device cuda --step llama2-20M-prenorm --seconds 0 >/dev/null; then
  echo "no CUDA device that this build can use: nothing measured" >&2
  exit 1
fi

{
  date -u +%Y-%m-%dT%H:%M:%SZ
  git describe --always --dirty
  if command -v nvidia-smi >/dev/null; then
    nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,power.limit --format=csv,noheader
  fi
  echo
  "$build/bin/device_times" --device cuda --seconds 4
  echo
  if [ -x .venv-peers/bin/python ]; then
    .venv-peers/bin/python tests/peers/train_step.py "$build/bin" --device cuda --rounds 2 --seconds 4
    echo
    .venv-peers/bin/python tests/peers/hvp.py "$build/bin" --device cuda --rounds 2 --seconds 1 --skip-probe
  else
    echo "PyTorch was not measured: .venv-peers is missing; scripts/setup.sh --peers makes it"
  fi
} 2>&1 | tee "$file"
echo "measure_gpu.sh: written to $file" >&2
