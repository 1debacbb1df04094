#!/usr/bin/env bash
# Extract with an array of jobs, then build the graph and select.
# Usage: STORE=… RUN=… POOL=… TARGET=… OUT=… [TASKS=8] ./submit.sh
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
export STORE RUN POOL TARGET OUT # a store that all machines see, checkpoints, rows, rows of the target, picks

array=$(sbatch --parsable --array="1-${TASKS:-8}" "$here/extract.sbatch")
# afterany, not afterok: where a task failed for good the others have done its work, and an unfinished data set
# is refused by the next step anyway.
sbatch --parsable --dependency="afterany:$array" "$here/select.sbatch"
