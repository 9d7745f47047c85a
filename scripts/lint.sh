#!/usr/bin/env bash
# Checks the layout of every source file (clang-format), the order of the rooms (check_rooms.py), and the code of the libraries and
# programs (clang-tidy).
#
# Usage: scripts/lint.sh [--fix]    --fix formats instead of checking, and stops there
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -t sources < <(git ls-files '*.cpp' '*.h' '*.cu' '*.cuh')
if [ "${1:-}" = --fix ]; then
  clang-format -i "${sources[@]}"
  exit
fi
clang-format --dry-run --Werror "${sources[@]}"
python3 scripts/check_rooms.py
cmake --preset tidy >/dev/null
# Builds the precompiled headers, which clang-tidy finds in the compile commands and reads in a third of the time of LibTorch's own.
cmake --build build/tidy --target build_info {libhessian/CMakeFiles/hessian,analysis/CMakeFiles/analysis}.dir/cmake_pch.hxx.pch >/dev/null
run-clang-tidy -quiet -p build/tidy -j "$(nproc)" "$PWD/(libhessian|models|experiments|analysis)/.*\.cpp$" >build/tidy/report.txt 2>/dev/null || {
  grep -E '(warning|error):' build/tidy/report.txt | sort -u
  echo "lint.sh: clang-tidy found what is listed above; the whole report is build/tidy/report.txt" >&2
  exit 1
}
