#!/usr/bin/env bash
# Installs the build tree $1 into a temporary folder, builds the examples against it with find_package(hessian) and with
# pkg-config, and runs them. Each exits with 0 only if its numbers are right. Further arguments go to CMake.
set -euo pipefail
build=$1
examples=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cmake --install "$build" --prefix "$folder/prefix" >/dev/null
cmake -G Ninja -S "$examples" -B "$folder/build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$folder/prefix" \
  "${@:2}" >/dev/null
cmake --build "$folder/build"
for source in "$examples"/*.cpp; do
  name=$(basename "$source" .cpp)
  echo "== $name"
  "$folder/build/$name"
done

if command -v pkg-config >/dev/null; then
  echo "== custom_operator, built with pkg-config"
  PKG_CONFIG_PATH=$(dirname "$(find "$folder/prefix" -name hessian.pc)")
  export PKG_CONFIG_PATH
  read -ra cflags <<<"$(pkg-config --cflags hessian)"
  read -ra libs <<<"$(pkg-config --libs hessian)"
  flags=()
  for argument in "${@:2}"; do
    [[ $argument == -DCMAKE_CXX_FLAGS=?* ]] && flags+=("${argument#-DCMAKE_CXX_FLAGS=}")
  done
  "${CXX:-c++}" "${flags[@]}" "${cflags[@]}" "$examples/custom_operator.cpp" -o "$folder/custom_operator" "${libs[@]}"
  "$folder/custom_operator"
else
  echo "pkg-config was not found: the build with it is skipped"
fi
"$folder/prefix/bin/hessian-probe" --help >/dev/null
