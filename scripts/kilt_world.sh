#!/usr/bin/env bash
# Multi-task DPR on a small KILT-like world: passages, BM25's confounders, one adversarial round, four studies.
# usage: scripts/kilt_world.sh FOLDER_OF_COLLECTIONS     (configs/prepare/kilt_world.py names the files)
# Every step is resumed or found done when the script is run again. Results: runs/kilt_world/table*/report.md.
set -euo pipefail
ROOT=${1:?usage: scripts/kilt_world.sh FOLDER_OF_COLLECTIONS}
RUN=runs/kilt_world
TASKS="fever aidayago2 structured_zeroshot nq hotpotqa wow"

files() { # SPLIT: task=file of each task, as a tuple
  local task found=""
  for task in $TASKS; do found+="'$task=$RUN/raw/$task-$1-kilt.jsonl',"; done
  echo "($found)"
}

study() { # NAME [FIRST VARIANT]: the base is the same in all studies, and is trained in the first
  if [ $# = 2 ] && [ ! -d $RUN/"$1"/"$2" ]; then
    mkdir -p $RUN/"$1"/"$2"/seed-0 && cp -r $RUN/table3/multi-task/seed-0/train $RUN/"$1"/"$2"/seed-0
  fi
  tart-jax sweep --config=configs/sweep/kilt_world.py:"$1" --workdir=$RUN/"$1"
}

tart-jax prepare --config=configs/prepare/kilt_world.py --workdir=$RUN/raw --config.root="$ROOT"
tart-jax prepare --config=configs/prepare/kilt.py --workdir=$RUN/kilt --config.words=80 \
  --config.knowledge_source=$RUN/raw/source.json --config.dev_documents=1000 \
  --config.tasks="$(files train)" --config.dev_tasks="$(files dev)"
[ -f $RUN/bm25/index.json ] ||
  tart-jax index --config.factory=BM25 --config.corpus=$RUN/kilt/corpus.jsonl --workdir=$RUN/bm25
tart-jax mine --config.examples=$RUN/kilt/train --config.index=$RUN/bm25 --config.hard.count=1 \
  --config.hard.last_rank=30 --workdir=$RUN/mined
study table3
study table6 base
study table5 multi-task
# The adversarial round (Table 7): for nq the multi-task model's own wrong hits, for the others BM25's.
FIRST=$RUN/table3/multi-task/seed-0
tart-jax mine --config.examples=$RUN/kilt/train/nq.jsonl --workdir=$RUN/mined_nq \
  --config.index=$FIRST/evaluate/index/corpus --config.retriever.model=$FIRST/train/model \
  --config.hard.count=1 --config.hard.last_rank=30
mkdir -p $RUN/adversarial
grep -v '"task": "nq"' $RUN/mined/mined.jsonl | cat - $RUN/mined_nq/mined.jsonl > $RUN/adversarial/mined.part
mv $RUN/adversarial/mined.part $RUN/adversarial/mined.jsonl
study table7 multi-task
