#!/usr/bin/env bash
# Gradients that LESS's scripts computed, in a store; then a selection without computing anything again.
# Usage: ./import_less.sh GRADS POOL.jsonl TARGET.jsonl OUT
# GRADS has LESS's folders, such as pool-ckpt105-adam/dim8192 and gsm8k-ckpt105-sgd/dim8192, for one checkpoint or several.
set -euo pipefail
grads=$1 pool=$2 target=$3 out=$4

# The names of the folders tell checkpoint and direction. LESS weighs a checkpoint by its mean learning rate in the
# epoch before it: give that with --weight if you have several.
for folder in "$grads"/*-adam/dim*; do
  gradstore store import "$out/less.zarr" "$folder" --name pool --rows "$pool" --encoding int8
done
for folder in "$grads"/*-sgd/dim*; do
  gradstore store import "$out/less.zarr" "$folder" --name target --rows "$target" --target
done
gradstore store ls "$out/less.zarr"
gradstore select "$out/less.zarr" --selector less --target target --fraction 0.05 -o "$out/picked.jsonl"
