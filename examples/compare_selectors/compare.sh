#!/usr/bin/env bash
# Choose with several selectors and lay the choices side by side.
# Usage: ./compare.sh STORE TARGET OUT [SELECTOR…]
set -euo pipefail
store=$1 target=$2 out=$3
shift 3
selectors=("$@")
[ ${#selectors[@]} -gt 0 ] || selectors=(random low-loss less round-robin g2is)

mkdir -p "$out"
names=()
for selector in "${selectors[@]}"; do
  name=$selector-$target
  gradstore select "$store" --selector "$selector" --target "$target" --fraction 0.1 --name "$name" -o "$out/$selector.jsonl" >/dev/null
  names+=("$name")
done
gradstore compare "$store" "${names[@]}"
