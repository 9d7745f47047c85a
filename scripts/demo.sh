#!/usr/bin/env bash
# Trains three norm placements of one small size on the built-in text with probes along the way, compares them, and then searches
# for the largest stable learning rate of each; ends with a page of all figures. A few minutes on two cores.
#
# Usage: scripts/demo.sh BUILD_FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$1/bin
placements=(prenorm preqknorm simplegpt)

mkdir -p demo
for placement in "${placements[@]}"; do
  echo "training $placement (150 steps on the King James Bible, ||H_xx|| every 50) ..."
  "$bin/hessian-train" configs/demo-train.toml --set "model.name=new:llama2-20M-$placement" --set "out=demo/$placement" \
    --overwrite --json >"demo/$placement.json"
done
python3 scripts/compare_probes.py "${placements[@]/#/demo/}"
echo "searching for the largest stable learning rate of each ..."
"$bin/hessian-sweep" configs/demo-sweep.toml --set out=demo/sweep --overwrite
runs=("${placements[@]/#/demo/}")
"$bin/hessian-plot" "${runs[@]/%//run.h5}" demo/sweep/sweep.h5 --out demo/report --csv --report >/dev/null
echo
echo "run files: demo/{prenorm,preqknorm,simplegpt}/run.h5 and demo/sweep/sweep.h5 (hessian-plot --list FILE says what they hold)"
echo "report:    $PWD/demo/report/report.html"
