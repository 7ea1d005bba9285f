#!/usr/bin/env bash
# A TPU pod slice of Google Cloud as a queued resource; JAX finds the slice's hosts by itself.
# usage: scripts/launch_tpu_pod.sh create --name=NAME --zone=ZONE --accelerator-type=TYPE --runtime-version=VERSION
#        scripts/launch_tpu_pod.sh state  --name=NAME --zone=ZONE
#        scripts/launch_tpu_pod.sh run    --name=NAME --zone=ZONE [--directory=FOLDER] [--tart-jax=PATH] -- COMMAND ...
#        scripts/launch_tpu_pod.sh delete --name=NAME --zone=ZONE
#   --accelerator-type=TYPE     such as v5litepod-32
#   --runtime-version=VERSION   the image of its hosts, such as v2-alpha-tpuv5-lite
#   --directory=FOLDER          run: the folder to run in, on every host; one that all hosts share holds the workdir
#   --tart-jax=PATH             run: the program there, such as /mnt/shared/venv/bin/tart-jax
#   --dry-run                   print what would be run
#   others                      go to gcloud as they are: --project=... --spot --internal-ips
# COMMAND ...: words of tart-jax, such as: train --config=configs/train/tart_dual.py --workdir=runs/a
# `state` says WAITING_FOR_RESOURCES, PROVISIONING, ACTIVE, ...; `run` wants ACTIVE.
set -euo pipefail
# shellcheck source=scripts/launch_functions.sh
. "$(dirname "$0")/launch_functions.sh"

DRY_RUN='' name='' zone='' type='' version='' directory='' program=tart-jax others=()
case ${1:-} in
  create | state | run | delete) action=$1; shift ;;
  --help | -h) help; exit ;;
  *) fail "the first word is ${1:-missing}; it should be create, state, run or delete." ;;
esac
while [ $# -gt 0 ]; do
  case $1 in
    --name=*) name=${1#*=} ;;
    --zone=*) zone=${1#*=} ;;
    --accelerator-type=*) type=${1#*=} ;;
    --runtime-version=*) version=${1#*=} ;;
    --directory=*) directory=${1#*=} ;;
    --tart-jax=*) program=${1#*=} ;;
    --dry-run) DRY_RUN=yes ;;
    --help | -h) help; exit ;;
    --) shift; break ;;
    --*) others+=("$1") ;;
    *) fail "$1 is not an option; --help names them, and tart-jax's own words stand after --." ;;
  esac
  shift
done
need --name "$name"
need --zone "$zone"
others=("--zone=$zone" ${others[@]+"${others[@]}"})

case $action in
  create)
    need --accelerator-type "$type"
    need --runtime-version "$version"
    perform gcloud compute tpus queued-resources create "$name" --node-id="$name" \
      --accelerator-type="$type" --runtime-version="$version" "${others[@]}"
    ;;
  state)
    perform gcloud compute tpus queued-resources describe "$name" --format='value(state.state)' "${others[@]}"
    ;;
  run)
    [ $# -gt 0 ] || fail "the command is missing; tart-jax's words stand after --, such as: -- train --config=..."
    command=$(quoted "$program" "$@")
    [ -z "$directory" ] || command="cd $(quoted "$directory") && $command"
    perform gcloud compute tpus tpu-vm ssh "$name" --worker=all --command="$command" "${others[@]}"
    ;;
  delete)
    # --force: the slice goes, too
    perform gcloud compute tpus queued-resources delete "$name" --force "${others[@]}"
    ;;
esac
