#!/usr/bin/env bash
# A Slurm job with a process for each GPU; JAX finds coordinator, count and index in what srun sets.
# usage: scripts/launch_slurm.sh --nodes=2 --gpus-per-node=8 [--dry-run] [SBATCH OPTIONS] -- COMMAND ...
#   --nodes=N           hosts
#   --gpus-per-node=N   GPUs of each, all of them seen by all its processes, of which each takes its own
#   --dry-run           print what would be submitted
#   others              go to sbatch as they are: --partition=... --time=... --account=... --requeue
# COMMAND ...: words of tart-jax, such as: train --config=configs/train/tart_dual.py --workdir=runs/a
# tart-jax and the workdir must be seen by all nodes; the environment is handed on as it is here.
set -euo pipefail
# shellcheck source=scripts/launch_functions.sh
. "$(dirname "$0")/launch_functions.sh"

DRY_RUN='' nodes='' gpus='' others=()
while [ $# -gt 0 ]; do
  case $1 in
    --nodes=*) nodes=${1#*=} ;;
    --gpus-per-node=*) gpus=${1#*=} ;;
    --dry-run) DRY_RUN=yes ;;
    --help | -h) help; exit ;;
    --) shift; break ;;
    --*=* | --requeue | --exclusive) others+=("$1") ;;
    *) fail "$1 is not an option; --help names them, and tart-jax's own words stand after --." ;;
  esac
  shift
done
need --nodes "$nodes"
need --gpus-per-node "$gpus"
[ $# -gt 0 ] || fail "the command is missing; tart-jax's words stand after --, such as: -- train --config=..."

# No --gpus-per-task: it would hide the other GPUs, and JAX picks by SLURM_LOCALID among those it sees.
perform sbatch --job-name=tart_jax --nodes="$nodes" --ntasks-per-node="$gpus" --gpus-per-node="$gpus" \
  ${others[@]+"${others[@]}"} --wrap="srun --kill-on-bad-exit=1 $(quoted tart-jax "$@")"
