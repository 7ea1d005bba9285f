#!/usr/bin/env bash
# A TPU slice on Google Kubernetes Engine as a JobSet (https://jobset.sigs.k8s.io); JAX finds its hosts by itself.
# usage: scripts/launch_gke.sh --name=NAME --image=IMAGE --accelerator=ACCELERATOR --topology=TOPOLOGY \
#            --hosts=N --chips-per-host=N --claim=CLAIM [OPTIONS] -- COMMAND ...
#   --name=NAME                 of the JobSet; kubectl delete jobset NAME ends it
#   --image=IMAGE               a container image in which tart-jax is installed with the extra [tpu]
#   --accelerator=ACCELERATOR   the node pool's label, such as tpu-v5-lite-podslice, tpu-v6e-slice
#   --topology=TOPOLOGY         of the slice, such as 4x4
#   --hosts=N                   chips of the slice divided by --chips-per-host
#   --chips-per-host=N          such as 4
#   --claim=CLAIM               a persistent volume claim that many nodes may write (ReadWriteMany): data and workdir
#   --mount=FOLDER              where it appears, also the folder to run in; /data without it
#   --restarts=N                how often the JobSet starts anew when a host is lost; 3 without it
#   --dry-run                   print the manifest instead of applying it
# COMMAND ...: words of tart-jax, such as: train --config=configs/train/tart_dual.py --workdir=runs/a
# The cluster must have the JobSet controller. A JobSet that starts anew goes on from the last checkpoint.
set -euo pipefail
# shellcheck source=scripts/launch_functions.sh
. "$(dirname "$0")/launch_functions.sh"

DRY_RUN='' name='' image='' accelerator='' topology='' hosts='' chips='' claim='' mount=/data restarts=3
while [ $# -gt 0 ]; do
  case $1 in
    --name=*) name=${1#*=} ;;
    --image=*) image=${1#*=} ;;
    --accelerator=*) accelerator=${1#*=} ;;
    --topology=*) topology=${1#*=} ;;
    --hosts=*) hosts=${1#*=} ;;
    --chips-per-host=*) chips=${1#*=} ;;
    --claim=*) claim=${1#*=} ;;
    --mount=*) mount=${1#*=} ;;
    --restarts=*) restarts=${1#*=} ;;
    --dry-run) DRY_RUN=yes ;;
    --help | -h) help; exit ;;
    --) shift; break ;;
    *) fail "$1 is not an option; --help names them, and tart-jax's own words stand after --." ;;
  esac
  shift
done
need --name "$name"
need --image "$image"
need --accelerator "$accelerator"
need --topology "$topology"
need --hosts "$hosts"
need --chips-per-host "$chips"
need --claim "$claim"
[ $# -gt 0 ] || fail "the command is missing; tart-jax's words stand after --, such as: -- train --config=..."

text() { # WORD: as a string of YAML
  local word=${1//\\/\\\\}
  word=${word//\"/\\\"}
  printf '"%s"' "${word//$'\n'/\\n}"
}

arguments() {
  local word
  for word; do
    # Kubernetes reads $(NAME) in arguments as a variable, and $$ as a dollar.
    printf '                - %s\n' "$(text "${word//\$/\$\$}")"
  done
}

manifest() {
  cat <<YAML
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: $(text "$name")
  annotations:
    # all hosts of the job in one node pool, which is one slice
    alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.google.com/gke-nodepool
spec:
  failurePolicy:
    maxRestarts: $restarts
  replicatedJobs:
    - name: slice
      replicas: 1
      template:
        spec:
          parallelism: $hosts
          completions: $hosts
          backoffLimit: 0
          template:
            spec:
              restartPolicy: Never
              nodeSelector:
                cloud.google.com/gke-tpu-accelerator: $(text "$accelerator")
                cloud.google.com/gke-tpu-topology: $(text "$topology")
              containers:
              - name: tart-jax
                image: $(text "$image")
                workingDir: $(text "$mount")
                command: ["tart-jax"]
                args:
$(arguments "$@")
                resources:
                  limits:
                    google.com/tpu: $chips
                volumeMounts:
                - name: shared
                  mountPath: $(text "$mount")
              volumes:
              - name: shared
                persistentVolumeClaim:
                  claimName: $(text "$claim")
YAML
}

if [ -n "$DRY_RUN" ]; then
  manifest "$@"
else
  manifest "$@" | kubectl apply -f -
fi
