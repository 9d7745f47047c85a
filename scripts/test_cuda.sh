#!/usr/bin/env bash
# Runs every test that needs a CUDA device: kernels, tape, training and programs.
#
# Usage: scripts/test_cuda.sh BUILD
#   BUILD  build folder of the programs and tests, such as build/release
# Exit status: 0 if all passed; 1 if one failed or there is no device.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:?scripts/test_cuda.sh: give the build folder, such as build/release}

device_check=$("$build/tests/test_libhessian" --gtest_filter=SelectDevice.FindsTheCudaDevice 2>&1 || true)
if [[ $device_check != *"[  PASSED  ] 1 test."* ]]; then
  if [[ $device_check != *SKIPPED* ]]; then
    echo "$device_check" >&2
  fi
  echo "no CUDA device: nothing tested" >&2
  exit 1
fi

failed=0
for program in test_libhessian test_train; do
  log=$(mktemp)
  "$build/tests/$program" --gtest_brief=1 --gtest_filter='*Cuda*' | tee "$log" || failed=1
  # Skipped tests count as failures: without CUDA kernels all are skipped, which would look like success.
  if grep -q 'SKIPPED' "$log"; then
    echo "test_cuda.sh: $program skipped tests: this build has no CUDA kernels; see cmake/CudaSupport.cmake" >&2
    failed=1
  fi
  rm -f "$log"
done
HESSIAN_PROBE=$build/bin/hessian-probe PYTHONDONTWRITEBYTECODE=1 \
  .venv/bin/python -m pytest -q -p no:cacheprovider tests/cli/test_cuda.py || failed=1
exit $failed
