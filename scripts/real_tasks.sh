#!/usr/bin/env bash
# TART on real collections, small: a dual encoder, a cross-encoder that reranks it, and what it teaches.
# usage: scripts/real_tasks.sh FOLDER_OF_COLLECTIONS     (in BEIR's layout; configs/prepare/real_tasks.py names them)
# Every step is resumed or found done when the script is run again. Results: runs/real_tasks_eval/*/metrics.json.
set -euo pipefail
ROOT=${1:?usage: scripts/real_tasks.sh FOLDER_OF_COLLECTIONS}
DATA=runs/real_tasks
TRAINED="agnews altlex climate-fever pubmedqa quora scitldr squad"
HELD_OUT="hotpotqa codesearch_py nfcorpus"
EVAL=runs/real_tasks_eval

index() { # MODEL_RUN: all documents are encoded once, pooled; a task's index is a part of them
  tart-jax encode --config.model="$1/model" --config.corpus=$DATA/test/pooled --workdir="$1/embeddings"
  for task in $TRAINED $HELD_OUT pooled; do
    prefix=$task/
    [ "$task" = pooled ] && prefix=""
    [ -f "$1/index/$task/index.json" ] ||
      tart-jax index --config.embeddings="$1/embeddings" --config.prefix=$prefix --workdir="$1/index/$task"
  done
}

score() { # NAME RUN TASK
  tart-jax evaluate --config.run="$2" --config.qrels=$DATA/test/"$3"/qrels/test.tsv --config.complete=False \
    --workdir="$EVAL/$1"
}

search() { # NAME MODEL_RUN: the first 100 test queries of each held-out task, in its own corpus and in all
  for task in $HELD_OUT; do
    for corpus in $task pooled; do
      place=$([ "$corpus" = pooled ] && echo pooled || echo closed)
      out=$EVAL/$1-$task-$place
      tart-jax search --config.index="$2/index/$corpus" --config.model="$2/model" --config.max_queries=100 \
        --config.queries=$DATA/test/$task --config.instructions=$DATA/test/instructions.tsv --config.task=$task \
        --workdir="$out"
      score "$1-$task-$place" "$out/run.trec" $task
    done
  done
}

rerank() { # NAME FIRST_STAGE MODEL_RUN OPTIONS...
  for task in $HELD_OUT; do
    for place in closed pooled; do
      out=$EVAL/$1-$task-$place
      tart-jax rerank --config.run="$EVAL/$2-$task-$place/run.trec" --config.corpus=$DATA/test/pooled \
        --config.queries=$DATA/test/$task --config.instructions=$DATA/test/instructions.tsv --config.task=$task \
        --config.model="$3/model" --workdir="$out" "${@:4}"
      score "$1-$task-$place" "$out/run.trec" $task
    done
  done
}

tart-jax prepare --config=configs/prepare/real_tasks.py --workdir=$DATA --config.root="$ROOT"
tart-jax train --config=configs/train/real_tasks.py --workdir=runs/real_tasks_train
index runs/real_tasks_train
search dual runs/real_tasks_train
tart-jax mine --config=configs/mine/real_tasks.py --workdir=runs/real_tasks_mined
tart-jax train --config=configs/train/cross_encoder.py --workdir=runs/cross_encoder
rerank reranked dual runs/cross_encoder
rerank interpolated dual runs/cross_encoder --config.interpolation=0.5
tart-jax mine --config=configs/mine/teacher.py --workdir=runs/real_tasks_taught
tart-jax train --config=configs/train/distill.py --config.objective.name=dual_contrastive --workdir=runs/distill_hard
tart-jax train --config=configs/train/distill.py --workdir=runs/distill_soft
for kind in hard soft; do
  index runs/distill_$kind
  search distilled_$kind runs/distill_$kind
done
