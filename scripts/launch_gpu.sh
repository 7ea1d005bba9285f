#!/usr/bin/env bash
# One host with several GPUs: one process that drives them all, or one process for each.
# usage: scripts/launch_gpu.sh [--gpus=0,1,2,3] [--process-per-gpu] [--port=12355] [--dry-run] -- COMMAND ...
#   --gpus=LIST         the GPUs to use, as nvidia-smi numbers them; without it all
#   --process-per-gpu   a process for each of --gpus, joined by jax.distributed (train, encode and search)
#   --port=PORT         a free one, over which these processes find each other
#   --dry-run           print what would be run
# COMMAND ...: words of tart-jax, such as: train --config=configs/train/tart_dual.py --workdir=runs/a
set -euo pipefail
# shellcheck source=scripts/launch_functions.sh
. "$(dirname "$0")/launch_functions.sh"

DRY_RUN='' gpus='' each='' port=12355
while [ $# -gt 0 ]; do
  case $1 in
    --gpus=*) gpus=${1#*=} ;;
    --process-per-gpu) each=yes ;;
    --port=*) port=${1#*=} ;;
    --dry-run) DRY_RUN=yes ;;
    --help | -h) help; exit ;;
    --) shift; break ;;
    *) fail "$1 is not an option; --help names them, and tart-jax's own words stand after --." ;;
  esac
  shift
done
[ $# -gt 0 ] || fail "the command is missing; tart-jax's words stand after --, such as: -- train --config=..."

if [ -z "$each" ]; then
  perform env ${gpus:+"CUDA_VISIBLE_DEVICES=$gpus"} tart-jax "$@"
  exit
fi
need --gpus "$gpus"
IFS=, read -r -a list <<<"$gpus"
started=()
for index in "${!list[@]}"; do
  words=(env "CUDA_VISIBLE_DEVICES=${list[index]}" "JAX_COORDINATOR_ADDRESS=127.0.0.1:$port"
    "JAX_NUM_PROCESSES=${#list[@]}" "JAX_PROCESS_ID=$index" tart-jax "$@")
  if [ -n "$DRY_RUN" ]; then
    quoted "${words[@]}"
  else
    "${words[@]}" &
    started+=($!)
  fi
done
status=0
for process in ${started[@]+"${started[@]}"}; do
  wait "$process" || status=$?
done
exit "$status"
