#!/usr/bin/env bash
# Installs what building needs, and only what is missing; without anything to do it takes a moment and no network.
#
# Usage: scripts/setup.sh [--tests] [--clang] [--lint] [--peers] [--cuda]
#   --tests  also what the tests need (h5py, pytest; Chromium, in which pages are looked at)
#   --clang  also Clang with its sanitizers
#   --lint   also clang-format and clang-tidy, and Clang
#   --peers  also the programs that ours is measured against, in .venv-peers
#   --cuda   also the CUDA libraries that LibTorch's kernels call (several GB); the toolkit with nvcc is the machine's own
# LIBTORCH=/path builds against another LibTorch instead of the wheel pinned in requirements.txt.
set -euo pipefail
cd "$(dirname "$0")/.."

tests=false
clang=false
lint=false
peers=false
cuda=false
for word in "$@"; do
  case $word in
    --tests) tests=true ;;
    --clang) clang=true ;;
    --lint) lint=true clang=true ;;
    --peers) peers=true ;;
    --cuda) cuda=true ;;
    *) echo "setup.sh: unknown option '$word'; known are --tests, --clang, --lint, --peers and --cuda" >&2; exit 2 ;;
  esac
done

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# apt_install PACKAGE...
apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

can_be_root() { [ "$(id -u)" -eq 0 ] || { command -v sudo && { sudo -n true || [ -t 0 ]; }; } >/dev/null 2>&1; }

# Programs count as present wherever they come from, libraries where Debian's package is installed.
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
  python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
  local libraries=(libeigen3-dev libspectra-dev libhdf5-dev libcli11-dev libgtest-dev libgmock-dev libbenchmark-dev
    nlohmann-json3-dev libspdlog-dev libfmt-dev libtomlplusplus-dev libkainjow-mustache-dev zlib1g-dev)
  local installed
  # dpkg-query fails where it knows one of them not at all.
  installed=$({ dpkg-query -W -f '${Package} ${Status}\n' "${libraries[@]}" 2>/dev/null || true; } |
    sed -n 's/ install ok installed$//p')
  for package in "${libraries[@]}"; do
    grep -qx "$package" <<<"$installed" || echo "$package"
  done
}

# leave_out_unknown PACKAGE CONSEQUENCE: takes it out of `missing` if the system has no such package.
leave_out_unknown() {
  if [[ " ${missing[*]} " == *" $1 "* ]] && ! apt-cache show "$1" >/dev/null 2>&1; then
    missing=("${missing[@]/$1}")
    echo "setup.sh: this system has no package $1: $2" >&2
  fi
}

install_packages() {
  command -v dpkg-query >/dev/null || { echo "setup.sh: no Debian packages here; CMake will say what it does not find" >&2; return; }
  local missing
  mapfile -t missing < <(missing_packages)
  [ "${#missing[@]}" -eq 0 ] && return
  if ! can_be_root; then
    echo "setup.sh: missing packages: ${missing[*]}; installing them needs root or sudo. Going on without them." >&2
    return
  fi
  echo "setup.sh: installing ${missing[*]}" >&2
  as_root apt-get update -qq
  # Not every release has these two.
  leave_out_unknown bible-kjv "the built-in text is left out; give --data"
  leave_out_unknown chromium "the tests that look at pages are skipped"
  # shellcheck disable=SC2068  # an emptied entry must vanish
  apt_install ${missing[@]}
}

# Where it is a package of its own, which Clang only recommends.
install_sanitizers() {
  local runtime
  runtime=$(clang++ -print-file-name="libclang_rt.asan-$(uname -m).a")
  [ -e "$runtime" ] && return
  local package
  package=libclang-rt-$(clang++ -dumpversion | cut -d. -f1)-dev
  if ! can_be_root; then
    echo "setup.sh: missing package: $package; installing it needs root or sudo. Going on without it." >&2
    return
  fi
  echo "setup.sh: installing $package" >&2
  apt_install "$package"
}

# install_python VENV FILE OPTIONS...: installs a requirements file into a virtual environment unless it was installed just so
# before.
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
