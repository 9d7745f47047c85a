#!/usr/bin/env bash
# Installs the packages that the build needs, and only those that are missing. If nothing is missing it needs no network and
# returns at once.
#
# Usage: scripts/setup.sh [--tests] [--clang] [--lint] [--docs] [--peers] [--cuda]
#   --tests  adds what the tests need (h5py, pytest; Chromium, for the tests of pages)
#   --clang  adds Clang and its sanitizers
#   --lint   adds clang-format, clang-tidy and Clang
#   --docs   adds Doxygen
#   --peers  adds the tools that `make peers` compares with, in .venv-peers
#   --cuda   adds the CUDA libraries that LibTorch's kernels call (several GB); the toolkit with nvcc has to be installed by hand
# LIBTORCH=/path skips the LibTorch wheel pinned in requirements.txt: the build uses that LibTorch instead.
set -euo pipefail
cd "$(dirname "$0")/.."

tests=false
clang=false
lint=false
docs=false
peers=false
cuda=false
for word in "$@"; do
  case $word in
    --tests) tests=true ;;
    --clang) clang=true ;;
    --lint) lint=true clang=true ;;
    --docs) docs=true ;;
    --peers) peers=true ;;
    --cuda) cuda=true ;;
    *) echo "setup.sh: unknown option '$word'; expected --tests, --clang, --lint, --docs, --peers or --cuda" >&2; exit 2 ;;
  esac
done

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# apt_install PACKAGE...: installs Debian packages without asking.
apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

can_be_root() { [ "$(id -u)" -eq 0 ] || { command -v sudo && { sudo -n true || [ -t 0 ]; }; } >/dev/null 2>&1; }

# Prints the missing packages. A program counts as present if it is on the PATH, a library if its Debian package is installed.
missing_packages() {
  local program package
  while read -r program package; do
    command -v "$program" >/dev/null || echo "$package"
  done <<<"cmake cmake
ninja ninja-build
ccache ccache
g++ g++
git git
python3 python3
bible bible-kjv
h5dump hdf5-tools
gnuplot gnuplot-nox"
  if $tests; then
    command -v chromium >/dev/null || command -v google-chrome >/dev/null || echo chromium
  fi
  if $lint; then
    command -v clang-format >/dev/null || echo clang-format
    command -v run-clang-tidy >/dev/null || echo clang-tidy
  fi
  if $clang; then
    command -v clang++ >/dev/null || echo clang
  fi
  if $docs; then
    command -v doxygen >/dev/null || echo doxygen
  fi
  python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
  local libraries=(libeigen3-dev libspectra-dev libhdf5-dev libcli11-dev libgtest-dev libgmock-dev libbenchmark-dev
    nlohmann-json3-dev libspdlog-dev libfmt-dev libtomlplusplus-dev libkainjow-mustache-dev zlib1g-dev libicu-dev
    libpcre2-dev libsentencepiece-dev)
  local installed
  # dpkg-query fails if it does not know one of them.
  installed=$({ dpkg-query -W -f '${Package} ${Status}\n' "${libraries[@]}" 2>/dev/null || true; } |
    sed -n 's/ install ok installed$//p')
  for package in "${libraries[@]}"; do
    grep -qx "$package" <<<"$installed" || echo "$package"
  done
}

# leave_out_unknown PACKAGE CONSEQUENCE: removes a package from `missing` if this system's release does not have it, and prints the
# consequence.
leave_out_unknown() {
  if [[ " ${missing[*]} " == *" $1 "* ]] && ! apt-cache show "$1" >/dev/null 2>&1; then
    missing=("${missing[@]/$1}")
    echo "setup.sh: package $1 is not available on this system: $2" >&2
  fi
}

install_packages() {
  command -v dpkg-query >/dev/null || { echo "setup.sh: this system does not use Debian packages; CMake will name the dependencies that it does not find" >&2; return; }
  local missing
  mapfile -t missing < <(missing_packages)
  [ "${#missing[@]}" -eq 0 ] && return
  if ! can_be_root; then
    echo "setup.sh: missing packages: ${missing[*]}; installing them needs root or sudo. Continuing without them." >&2
    return
  fi
  echo "setup.sh: installing ${missing[*]}" >&2
  as_root apt-get update -qq
  # These two are missing from some releases.
  leave_out_unknown bible-kjv "the built-in text is not available; pass --data"
  leave_out_unknown chromium "the tests of pages are skipped"
  # shellcheck disable=SC2068  # entries that were emptied must disappear
  apt_install ${missing[@]}
}

# Installs the sanitizers' runtime library if it is a separate package, which Clang only recommends.
install_sanitizers() {
  local runtime
  runtime=$(clang++ -print-file-name="libclang_rt.asan-$(uname -m).a")
  [ -e "$runtime" ] && return
  local package
  package=libclang-rt-$(clang++ -dumpversion | cut -d. -f1)-dev
  if ! can_be_root; then
    echo "setup.sh: missing package: $package; installing it needs root or sudo. Continuing without it." >&2
    return
  fi
  echo "setup.sh: installing $package" >&2
  apt_install "$package"
}

# install_python VENV FILE OPTIONS...: installs a requirements file into a virtual environment, unless exactly this file was
# installed before.
install_python() {
  local venv=$1 requirements=$2
  local stamp=$venv/installed-${requirements//\//-}
  cmp -s "$requirements" "$stamp" && return
  [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
  echo "setup.sh: installing $requirements into $venv" >&2
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${@:3}" -r "$requirements"
  cp "$requirements" "$stamp"
}

install_packages
if $clang && command -v clang++ >/dev/null; then
  install_sanitizers
fi
if [ -z "${LIBTORCH:-}" ]; then
  install_python .venv requirements.txt --no-deps
  if $cuda; then
    install_python .venv requirements-cuda.txt
  fi
fi
if $tests; then
  install_python .venv requirements-test.txt
fi
if $peers; then
  install_python .venv-peers tests/peers/requirements.txt
fi
if command -v bible >/dev/null; then
  scripts/prepare_text.sh
fi
