#!/usr/bin/env bash
# Team A: gradients of a pool into a bucket, and the graph.
# Usage: SHARED=s3://… RUN=… POOL=… ./cluster.sh [further options of gradstore extract]
set -euo pipefail

# The same command line any number of times, on any number of machines.
for process in 1 2; do
  gradstore extract "$SHARED" --checkpoint "$RUN" --data "$POOL" --name pool "$@" &
  processes+=($!)
done
wait "${processes[0]}"
wait "${processes[1]}"

gradstore graph "$SHARED" --train pool
gradstore store ls "$SHARED"
