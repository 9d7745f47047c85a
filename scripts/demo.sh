#!/usr/bin/env bash
# Probes three norm placements of one small size, fresh from one seed, on the built-in text, and compares them.
#
# Usage: scripts/demo.sh BUILD_FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
probe=$1/bin/hessian-probe
size=llama2-20M
placements=(prenorm preqknorm simplegpt)

mkdir -p demo
for placement in "${placements[@]}"; do
  echo "probing $size-$placement (every layer, 4 sequences of 128 bytes of the King James Bible) ..."
  "$probe" --model "new:$size-$placement" --vocab-size 256 --layer all --sequences 4 --seed 1 \
    --out "demo/$placement.h5" --overwrite --json >"demo/$placement.json"
done
python3 scripts/compare_probes.py "${placements[@]/#/demo/}"
echo "run files: ${placements[*]/%/.h5} in demo/ (look inside with h5dump, or see docs/file-format.md)"
