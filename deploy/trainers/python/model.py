"""The model: this is the file to change. Trains scikit-learn's gradient boosting and writes it as ONNX."""

import numpy as np
import sklearn
from skl2onnx import to_onnx
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline

MADE_WITH = f"scikit-learn {sklearn.__version__}, GradientBoostingClassifier"


def train(features: np.ndarray, labels: np.ndarray, job: dict) -> tuple[bytes, dict]:
    """The ONNX file (float32 [rows, n] in, probabilities [rows, 2] out), and the parameters to be kept with the version."""
    if job["task"] != "BINARY":
        raise ValueError(f"this trainer knows the task BINARY only, not {job['task']}")
    if len(np.unique(labels)) < 2:
        raise ValueError(f"all {len(labels)} labels are the same")
    parameters = {"n_estimators": 100, "learning_rate": 0.1, "max_depth": 4, "subsample": 0.5}
    trees = GradientBoostingClassifier(random_state=job["seed"], **parameters)
    # Missing values come as NaN, in training and when it serves: what fills them has to be part of the file.
    pipeline = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), trees)
    pipeline.fit(features, labels)
    # Without zipmap=False the probabilities would be a sequence of maps, which Millrace cannot serve.
    graph = to_onnx(pipeline, features[:1], options={"zipmap": False}, target_opset=17)
    return graph.SerializeToString(), {**parameters, "rows": len(labels)}
