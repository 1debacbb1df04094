#!/usr/bin/env bash
# The same without a file system that all machines share: every task fills a store of its own.
# Usage: STORE=… PARTS=… RUN=… POOL=… TARGET=… OUT=… [TASKS=8] ./submit_parts.sh
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
export STORE PARTS RUN POOL TARGET OUT

array=$(sbatch --parsable --array="1-${TASKS:-8}" "$here/parts.sbatch")
merge=$(sbatch --parsable --dependency="afterok:$array" "$here/merge.sbatch")
sbatch --parsable --dependency="afterok:$merge" "$here/select.sbatch"
