"""The model: this is the file to change. Trains scikit-learn's gradient boosting and writes it as ONNX."""

import numpy as np
import sklearn
from skl2onnx import to_onnx
from sklearn.ensemble import HistGradientBoostingClassifier

MADE_WITH = f"scikit-learn {sklearn.__version__}, HistGradientBoostingClassifier"


def train(features: np.ndarray, labels: np.ndarray, job: dict) -> tuple[bytes, dict]:
    """The ONNX file (float32 [rows, n] in, probabilities [rows, 2] out), and the parameters to be kept with the version."""
    if job["task"] != "BINARY":
        raise ValueError(f"this trainer knows the task BINARY only, not {job['task']}")
    if len(np.unique(labels)) < 2:
        raise ValueError(f"all {len(labels)} labels are the same")
    # Missing values (NaN) go down a branch of their own, in training as in the ONNX file.
    parameters = {"max_iter": 200, "learning_rate": 0.05, "max_leaf_nodes": 15, "early_stopping": True}
    model = HistGradientBoostingClassifier(random_state=job["seed"], **parameters).fit(features, labels)
    # Without zipmap=False the probabilities would be a sequence of maps, which Millrace cannot serve.
    graph = to_onnx(model, features[:1], options={"zipmap": False}, target_opset=17)
    return graph.SerializeToString(), {**parameters, "trees": int(model.n_iter_), "rows": len(labels)}
