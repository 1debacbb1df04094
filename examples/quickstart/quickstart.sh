#!/usr/bin/env bash
# From a model and two files of rows to a selection.
# Usage: BASE=… POOL=… TARGET=… ./quickstart.sh [FOLDER]
set -euo pipefail
folder=${1:-quickstart-run}
mkdir -p "$folder"

# A short LoRA run: its checkpoints hold what the direction `adam` needs. Skip it if you have such a run.
gradstore warmup --model "$BASE" --data "$POOL" --out "$folder/run" --fraction 0.2 --epochs 1

# The gradients; with --dry-run it says first how long that takes and how much of the disk it needs.
extract() { gradstore extract "$folder/grads.zarr" --checkpoint "$folder/run" "$@"; }
extract --data "$POOL" --name pool
extract --data "$TARGET" --name target --target

gradstore graph "$folder/grads.zarr"
gradstore select "$folder/grads.zarr" --selector g2is --target target --fraction 0.1 -o "$folder/picked.jsonl"

# Whatever comes next, the doctor says it.
gradstore doctor "$folder/grads.zarr"
