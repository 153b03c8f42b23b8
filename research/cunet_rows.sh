#!/bin/bash
# Train the network of every row of the Conditioned U-Net paper's Tables 1 to 3, and print the tables with them.
# cunet_rows.sh DATA OUT [RECIPE]: DATA is what `ugosa-server train cunet-data` made. Rows that see are trained where every
# recording of DATA/train has a feature file beside it. A second call goes on where one stopped.
set -euo pipefail

data=$1
out=$2
recipe=${3:-$(dirname "$0")/recipes/cunet-rows.toml}
rows=(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
if [ -n "$(find "$data/train" -name '*.npz' -print -quit)" ]; then
    rows+=(encoder-1 bottleneck-1 bottleneck-1-ft bottleneck-15 bottleneck-50 final-1)
fi

models=()
for row in "${rows[@]}"; do
    ugosa-server train cunet --config "$recipe" --experiment "$row" --data "$data/train" \
        --validation-data "$data/validation" --out "$out/runs/$row"
    ugosa-server train export --run "$out/runs/$row" --weights last --to "$out/models/cunet-row-$row.safetensors"
    models+=(--model "cunet-row-$row")
done
for pieces in seen-soundfonts unseen-soundfont; do
    ugosa-server evaluate cunet --pieces "$data/test-$pieces" "${models[@]}" --model-dir "$out/models" \
        --max-pieces "${MAX_PIECES:-12}" --out "$out/results/$pieces"
done
