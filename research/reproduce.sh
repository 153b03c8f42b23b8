#!/bin/bash
# The experiment of `research/results`: songs that Debian and PyPI carry, and songs from the training generator.
# Wants the Debian packages fretsonfire-songs-muldjord, fretsonfire-songs-sectoid and lmms, `pip install 'ugosa-research[eval]'
# stempeg`, and, for the generated songs, a sampler bank (`ugosa-server train data`) in ./bank. A second call goes on where
# one stopped.
set -euo pipefail

out=${1:-evaluation-out}
bank=${2:-bank}
methods=B0,B-L3:D,P-L1:D,P-L2:D,P-L3:D,P-L4:D,P-L5:D
stempeg=$(python3 -c 'import importlib.util as u; print(u.find_spec("stempeg").submodule_search_locations[0])')

fretsonfire=/usr/share/games/fretsonfire/data/songs
mkdir -p "$out/held-out" # the other songs of this band trained the network
cp -r "$fretsonfire/sectoid/War of freedom" "$out/held-out/"
ugosa-server train songs --part test --out "$out/songs"
ugosa-server evaluate prepare --seed 1 --max-seconds 16 --out "$out/real" \
    --dataset "$stempeg/data" --dataset "$fretsonfire/muldjord" --dataset "$out/held-out" --dataset "$out/songs/test"
ugosa-server evaluate run --dataset "$out/real" --out "$out/results-real" --methods "$methods" --learning-rate 1e-3
ugosa-server evaluate suggestions --dataset "$out/real"
ugosa-server evaluate run --dataset "$out/real" --out "$out/results-human-marks" --marks human --methods B0,P-L3:D

if [ -d "$bank" ]; then
    ugosa-server evaluate generate --bank "$bank" --out "$out/raw-generated" --songs 8 --seconds 14
    ugosa-server evaluate prepare --seed 1 --max-seconds 12 --dataset "$out/raw-generated" --out "$out/generated"
    ugosa-server evaluate run --dataset "$out/generated" --out "$out/results-generated" --methods "$methods" \
        --learning-rate 1e-3
    ugosa-server evaluate suggestions --dataset "$out/generated"
    ugosa-server evaluate run --dataset "$out/generated" --out "$out/results-lambda" \
        --methods P-L3:M --lambda 1e-4,1e-2,1,1e2,1e4
fi
