#!/usr/bin/env bash
# Macro accuracy: torchmetrics and scikit-learn differ if a class is predicted that has no samples.
#
# Seen with torchmetrics 1.9.0 and scikit-learn 1.9.1 (torch 2.9.1, Python 3.11), 3 classes, targets
# [0, 0, 1], predictions [0, 2, 1]. Both leave out a class without samples. But torchmetrics counts it
# as 0 % as soon as it is predicted once, so one mistake costs more if it hits such a class:
#   torchmetrics MulticlassAccuracy(3, average="macro")  predicted [0, 1, 1]: 0.75, [0, 2, 1]: 0.50
#   scikit-learn balanced_accuracy_score                 predicted [0, 1, 1]: 0.75, [0, 2, 1]: 0.75
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torchmetrics==1.9.0 scikit-learn==1.9.1 torch==2.9.1
cd "$folder" && venv/bin/python -W ignore::UserWarning - <<'PYTHON'
import torch
from sklearn.metrics import balanced_accuracy_score
from torchmetrics.classification import MulticlassAccuracy

targets = [0, 0, 1]
wrong_class_has_samples, wrong_class_has_none = [0, 1, 1], [0, 2, 1]
accuracy = MulticlassAccuracy(num_classes=3, average="macro")
values = {
    name: [round(float(measure(predictions)), 2) for predictions in (wrong_class_has_samples, wrong_class_has_none)]
    for name, measure in {
        "torchmetrics": lambda predictions: accuracy(torch.tensor(predictions), torch.tensor(targets)),
        "scikit-learn": lambda predictions: balanced_accuracy_score(targets, predictions),
    }.items()
}
for name, pair in values.items():
    print(name, "predicted [0, 1, 1]:", pair[0], " [0, 2, 1]:", pair[1])
assert values == {"torchmetrics": [0.75, 0.5], "scikit-learn": [0.75, 0.75]}
PYTHON
