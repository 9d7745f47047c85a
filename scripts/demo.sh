#!/usr/bin/env bash
# Trains three norm placements of one small model on the built-in text, with probes during training, and compares them. Then
# searches for the largest stable learning rate of each and draws everything on one page. Last, trains a tokenizer and a model that
# reads text with it, and probes that model on a text file. Takes a few minutes on two cores.
#
# Usage: scripts/demo.sh BUILD_FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$1/bin
placements=(prenorm preqknorm simplegpt)
size=llama2-0.9M # the size of the model that configs/demo-train.toml derives from llama2-20M
report=demo/report/report.html

mkdir -p demo
runs=()
for placement in "${placements[@]}"; do
  run=demo/$size-$placement
  echo "training $size-$placement (150 steps on the King James Bible, ||H_xx|| every 50) ..."
  "$bin/hessian-train" configs/demo-train.toml --set "model.name=new:llama2-20M-$placement" --set "out=$run" --overwrite --json \
    >"$run.json"
  runs+=("$run")
done
python3 scripts/compare_probes.py "${runs[@]}"
echo "searching for the largest stable learning rate of each ..."
"$bin/hessian-sweep" configs/demo-sweep.toml --set out=demo/sweep --overwrite
"$bin/hessian-plot" "${runs[@]/%//run.h5}" demo/sweep/sweep.h5 --out demo/report --csv --report >/dev/null
echo "training on words: a tokenizer of 1024 tokens, a model that reads it, and its curvature on a text file ..."
mkdir -p demo/words
cp README.md demo/words/text.txt # the tokens are cached next to the text
"$bin/hessian-tokens" --train-bpe 1024 data/kjv.txt --out demo/words/tokenizer.json --overwrite
"$bin/hessian-train" configs/demo-train.toml --set out=demo/words/run --set data.tokenizer=demo/words --set model.vocab_size=1024 \
  --set steps=50 --set schedule.warmup=5 --set probe.every=0 --set "model.name=new:llama2-20M-simplegpt" --overwrite --json \
  >demo/words/run.json
"$bin/hessian-probe" --model demo/words/run/checkpoint-00000050.safetensors --data demo/words/text.txt --sequences 4 --layer all \
  --ends dominant --out demo/words/probe.h5 --overwrite
echo
# Prints the findings from the head of the report.
sed -n '/<h2>Findings</,/<\/section>/s|^<p>\(.*\)</p>$|\1\n|p' "$report"
echo "run files: ${runs[*]/%//run.h5} demo/sweep/sweep.h5 (hessian-plot --list FILE lists their contents)"
echo "report:    $PWD/$report"
