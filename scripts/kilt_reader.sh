#!/usr/bin/env bash
# A small reader of the small world's slots: without passages, with those that two retrievers found, with gold ones.
# usage: scripts/kilt_reader.sh     (after scripts/kilt_world.sh, of which it needs table3)
# Every step is resumed or found done when the script is run again. Results: runs/kilt_world/reader/{scores,compare}.
set -euo pipefail
RUN=runs/kilt_world
TASK=structured_zeroshot

reading() { # NAME SPLIT OPTIONS...: what the reader reads
  tart-jax prepare --config=configs/prepare/reading.py --workdir=$RUN/reading/"$1" --config.kilt=$RUN/kilt \
    --config.gold=$TASK=$RUN/raw/$TASK-"$2"-kilt.jsonl --config.count=1 "${@:3}"
}

answers() { # NAME READER: of the test items read as NAME
  tart-jax read --config.model=$RUN/reader/"$2"/model --config.examples=$RUN/reading/"$1" \
    --workdir=$RUN/reader/answers/"$1"
  tart-jax evaluate --config=configs/evaluate/kilt.py --config.run=$RUN/reader/answers/"$1"/predictions.jsonl \
    --config.qrels=$RUN/raw/$TASK-dev-kilt.jsonl --workdir=$RUN/reader/scores/"$1" \
    --config.measures="('em','f1','rougel','KILT-em','KILT-f1')"
}

for passages in none gold; do
  reading ${passages}_train train --config.passages=$passages
  tart-jax train --config=configs/train/kilt_reader.py --workdir=$RUN/reader/$passages \
    --config.data.train=$RUN/reading/${passages}_train/examples.jsonl
  reading $passages dev --config.passages=$passages
  answers $passages $passages
done
for retriever in only-${TASK/_/-} multi-task; do
  reading $retriever dev --config.passages=run \
    --config.run=$RUN/table3/$retriever/seed-0/evaluate/results/none/$TASK/closed/run/run.trec
  answers $retriever gold
done
before=none
for next in only-${TASK/_/-} multi-task gold; do
  tart-jax compare $RUN/reader/scores/{$before,$next} --workdir=$RUN/reader/compare/$before,$next
  before=$next
done
