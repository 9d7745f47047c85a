#!/usr/bin/env bash
# Draws the spectral norms and the activation scales of small models of six families by layer: the figures of docs/models.md. All have
# a width of 128, 6 layers and 4 heads, and read bytes of the King James Bible. Takes a few minutes on two cores.
#
# Usage: scripts/families_figure.sh BUILD_FOLDER OUT_FOLDER [STEPS]
#   scripts/families_figure.sh build/release families        # fresh models
#   scripts/families_figure.sh build/release trained 200     # after 200 updates
set -euo pipefail
if [ $# -lt 2 ] || [ $# -gt 3 ] || ! [[ ${3-0} =~ ^[0-9]+$ ]]; then
  echo "usage: families_figure.sh BUILD_FOLDER OUT_FOLDER [STEPS]" >&2
  exit 2
fi
bin=$1/bin
out=$2
steps=${3-0}
models=(gpt2-10M llama2-20M qwen3-0.6B pythia-70m olmo2-1B gemma2-2b)

# A run probes its weights at the start and at the end. For fresh models it makes one update that is too small to change them.
if [ "$steps" -eq 0 ]; then
  schedule=(--set steps=1 --set optimizer.lr=1e-30 --set schedule.warmup=0)
else
  schedule=(--set "steps=$steps" --set optimizer.lr=3e-3 --set "schedule.warmup=$((steps / 10))")
fi

mkdir -p "$out"
cat >"$out/families.toml" <<'TOML'
[model]
vocab_size = 256
dim = 128
n_layers = 6
n_heads = 4

[validation]
every = 0

[log]
update_every = 0

[checkpoint]
every = 0

[probe]
every = 1000000
sequences = 4
ends = "dominant"
tolerance = 1e-3
certify = 0.01
TOML
runs=()
for model in "${models[@]}"; do
  echo "measuring $model ..."
  "$bin/hessian-train" "$out/families.toml" "${schedule[@]}" --set "model.name=new:$model" --set "out=$out/$model" --overwrite >/dev/null
  runs+=("$out/$model/run.h5")
done
"$bin/hessian-plot" "${runs[@]}" --select spectral-norm-residual,rms-residual --format svg,png --csv --out "$out"
