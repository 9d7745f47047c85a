#!/usr/bin/env bash
# Runs every test that needs a CUDA device: kernels, the tape, the trainer, the programs.
#
# Usage: scripts/test_cuda.sh BUILD
#   BUILD  where the programs and tests were built, as build/release
# Exit status: 0 if all passed, 1 if one failed or there is no device.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:?scripts/test_cuda.sh: give the build folder, as build/release}

probe_of_device=$("$build/tests/test_libhessian" --gtest_filter=SelectDevice.TakesTheCudaDeviceThatIsThere 2>&1 || true)
if [[ $probe_of_device != *"[  PASSED  ] 1 test."* ]]; then
  if [[ $probe_of_device != *SKIPPED* ]]; then
    echo "$probe_of_device" >&2
  fi
  echo "no CUDA device: nothing tested" >&2
  exit 1
fi

failed=0
for program in test_libhessian test_train; do
  log=$(mktemp)
  "$build/tests/$program" --gtest_brief=1 --gtest_filter='*Cuda*' | tee "$log" || failed=1
  # A build without kernels would skip them all.
  if grep -q 'SKIPPED' "$log"; then
    echo "test_cuda.sh: $program skipped tests: this build has no CUDA kernels; see cmake/CudaSupport.cmake" >&2
    failed=1
  fi
  rm -f "$log"
done
HESSIAN_PROBE=$build/bin/hessian-probe PYTHONDONTWRITEBYTECODE=1 \
  .venv/bin/python -m pytest -q -p no:cacheprovider tests/cli/test_cuda.py || failed=1
exit $failed
