#!/usr/bin/env bash
# Trains the networks in the package: every command and seed, from the photos to the exported files.
#
#   training/recipes/mobile.sh [OUT]        default out/mobile; run from a checkout with its environment active
#
# Photos: two public collections, some 2 GB, see training/labels/README.md. It resumes after an interruption.
set -euo pipefail
OUT=${1:-out/mobile}
PHOTOS="$OUT/photos"
mkdir -p "$PHOTOS"

# ---- Photos ----
[ -d "$OUT/ccp" ] || git clone --depth 1 https://github.com/bearpaw/clothing-co-parsing "$OUT/ccp"
[ -d "$OUT/clothing" ] || git clone --depth 1 https://github.com/alexeygrigorev/clothing-dataset "$OUT/clothing"
ln -sfn ../ccp/photos "$PHOTOS/photos"
ln -sfn ../clothing/images "$PHOTOS/images"

# ---- Data: all labels, and for training 300 synthetic photos and 120 pictures without content ----
if [ ! -d "$PHOTOS/drawn" ]; then
  python -m training.prepare --source synthetic --root "$PHOTOS/drawn" --out "$OUT/drawn" \
    --num-train 1000 --num-val 1 --num-test 1 --max-garments 3 --seed 7
fi
python - "$PHOTOS" "$OUT/drawn.train.json" <<'PYTHON'
import json, pathlib, sys
labels = json.loads((pathlib.Path(sys.argv[1]) / "drawn/annotations/train.json").read_text())
labels["images"] = [{**image, "file_name": "drawn/" + image["file_name"]} for image in labels["images"][:300]]
kept = {image["id"] for image in labels["images"]}
labels["annotations"] = [annotation for annotation in labels["annotations"] if annotation["image_id"] in kept]
pathlib.Path(sys.argv[2]).write_text(json.dumps(labels))
PYTHON
[ -d "$PHOTOS/blank" ] || python -m training.blank_pictures --out "$PHOTOS/blank" --num 120 --seed 1
[ -d "$OUT/data" ] || python -m training.prepare --source coco --root "$PHOTOS" \
  --annotations training/labels/*.json "$OUT/drawn.train.json" "$PHOTOS/blank/labels.train.json" --out "$OUT/data"
for source in street flatlay background; do
  [ -d "$OUT/test-$source" ] || python -m training.prepare --source coco --root "$PHOTOS" \
    --annotations "training/labels/$source.test.json" --out "$OUT/test-$source"
done
[ -d "$PHOTOS/blank-test" ] || python -m training.blank_pictures --out "$PHOTOS/blank-test" --num 200 --split test --seed 2
[ -d "$OUT/test-blank" ] || python -m training.prepare --source coco --root "$PHOTOS" \
  --annotations "$PHOTOS/blank-test/labels.test.json" --out "$OUT/test-blank"

# ---- Training ----
python -m training.train_detector --data "$OUT/data" --out "$OUT/detector" --resume \
  --epochs 30 --learning-rate 1e-3 --ema-momentum 0.9997 --seed 1
python -m training.train_keypoints --data "$OUT/data" --out "$OUT/keypoints" --resume \
  --epochs 30 --learning-rate 2e-3 --ema-momentum 0.998 --seed 1

[ -f "$OUT/calibrated" ] || python -m training.calibrate --data "$OUT/data" --detector "$OUT/detector" --keypoints "$OUT/keypoints"
touch "$OUT/calibrated"

# ---- The weights in the package, exported and measured ----
python -m training.ship --detector "$OUT/detector" --keypoints "$OUT/keypoints"
python -m serving.export_saved_model --out "$OUT/models/cspn"
python -m serving.export_tflite --out "$OUT/phone"
for source in street flatlay background blank; do
  python -m training.evaluate --data "$OUT/test-$source" --model "$OUT/models/cspn" --out "$OUT/report-$source"
done
python -m training.evaluate --data "$OUT/test-flatlay" --model "$OUT/models/cspn" --quarter-turns 1 --out "$OUT/report-turned-1"
python -m training.evaluate --data "$OUT/test-flatlay" --model "$OUT/models/cspn" --quarter-turns 2 --out "$OUT/report-turned-2"
python -m training.evaluate --data "$OUT/test-flatlay" --model "$OUT/models/cspn" --quarter-turns 3 --out "$OUT/report-turned-3"
