#!/usr/bin/env bash
# Installs the build tree $1 into a temporary folder, builds the project beside this script against it, and runs it.
set -euo pipefail
build=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cmake --install "$build" --prefix "$folder/prefix" >/dev/null
cmake -G Ninja -S "$(dirname "$0")" -B "$folder/build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$folder/prefix" \
  "${@:2}" >/dev/null
cmake --build "$folder/build"
"$folder/build/consumer"
"$folder/prefix/bin/hessian-probe" --help >/dev/null
