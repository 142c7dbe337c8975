#!/usr/bin/env bash
# The paper's experiment on the open choir: singers and clones made, five models trained alike, evaluated, reported.
#
#     recipes/reproduce.sh [FOLDER]     # runs/reproduction unless given; run again, it goes on
#
# With a GPU, MODEL=small EPOCHS=5000 trains the paper's encoder with the paper's patience, and MINUTES=2 ends each of the
# five trainings after so many minutes (run again, they go on). The figures of docs/results.md are of the defaults and
# PRECISION=bf16, on a CPU that has bf16. PRESET, CLASSES, RUNS, BATCH, HELD and PAIRS make it smaller, and PRESET=hard
# harder. Nothing but this repository has to travel: the choir is made where it is trained on.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-runs/reproduction}
model=${MODEL:-compact}
epochs=${EPOCHS:-5}
whosings=${WHOSINGS:-.venv/bin/whosings}
choir=${CHOIR:-$out/choir}
preset=${PRESET:-standard}
runs=${RUNS:-10}
classes=${CLASSES:-100:300:100}
batch=${BATCH:-64}
held=${HELD:-validation} # set of singers that validates
settings=(--set training.max_epochs="$epochs")
[ -n "${MINUTES:-}" ] && settings+=(--set training.max_minutes="$MINUTES")
if [ "$model" != small ]; then
    settings+=(--set model.front_end.segment_s=3 --set training.batch_pairs=$batch --set training.learning_rate=1e-3)
    settings+=(--set training.precision="${PRECISION:-auto}" --set training.chunk=0 --set training.workers=0)
fi

"$whosings" choir "$preset" --out "$choir"
for name in ${PAIRS:-mixture vocal hybrid mashup clmr}; do
    "$whosings" train "$choir/train.parquet" --validation "$choir/$held.parquet" --out "$out/$name" \
        --config "$name" --model "$model" "${settings[@]}"
    learned=$out/$name/history.json evaluated=$out/$name/evaluated.json
    if [ -f "$evaluated" ] && ! cmp -s "$learned" "$evaluated"; then
        rm -f "$out/results/"*-"$name"-* # they are of the encoder before it learned on
    fi
    cp "$learned" "$evaluated"
    stem=mixture
    [ "$name" = vocal ] && stem=vocal
    common=(--encoder "$out/$name/best" --model "$name" --stem "$stem" --out "$out/results")
    for set in closed cloned; do
        few=(--head linear --classes "${classes%%:*}") # a trained head costs minutes for each number of singers
        "$whosings" evaluate "$set" "$choir" "${common[@]}" --head prototype --classes "$classes" --runs "$runs"
        "$whosings" evaluate "$set" "$choir" "${common[@]}" "${few[@]}" --runs "$runs"
    done
    "$whosings" evaluate similarity "$choir" "${common[@]}"
done
"$whosings" report "$out/results"
