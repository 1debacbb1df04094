#!/usr/bin/env bash
# Team B: a target of one's own against the bucket, and a selection.
# Usage: SHARED=s3://… MINE=… BASE=… TARGET=… OUT=… ./laptop.sh
set -euo pipefail

[ -e "$MINE" ] || gradstore store new "$MINE" --on "$SHARED"
checkpoint=$(gradstore store ls "$MINE" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["checkpoints"][-1]["name"])')
gradstore extract "$MINE" --checkpoint "store:$checkpoint" --base "$BASE" --data "$TARGET" --name mine --target
gradstore select "$MINE" --selector g2is --target mine --fraction 0.05 -o "$OUT"
gradstore store verify "$MINE"
