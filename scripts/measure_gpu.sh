#!/usr/bin/env bash
# Measures one CUDA device in about ten minutes and writes a text file: the fractions of the device's limits that training steps and
# Hessian-vector products reach, the cost of SimpleNorm, and the same steps and products in PyTorch.
#
# Usage: scripts/measure_gpu.sh BUILD [FILE]
#   BUILD  build folder, such as build/release
#   FILE   output file; gpu-measurements.txt by default
# The comparison with PyTorch needs .venv-peers (scripts/setup.sh --peers). Without it the comparison is skipped, and the file says so.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:?scripts/measure_gpu.sh: give the build folder, such as build/release}
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
    echo "PyTorch was not measured: .venv-peers is missing; create it with scripts/setup.sh --peers"
  fi
} 2>&1 | tee "$file"
echo "measure_gpu.sh: written to $file" >&2
