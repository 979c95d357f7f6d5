"""Makes reference.json: what SciPy, scikit-learn, Evidently and NannyML say of the same data, for reference.test.ts.

    pip install scipy scikit-learn "pandas<3" evidently nannyml
    python makeReference.py > reference.json

The data are calculated, not drawn, and rounded, so that they are the same and short.
"""

import json
import math

import evidently
import nannyml
import numpy
import pandas
import scipy
from evidently.legacy.calculations import stattests
from evidently.legacy.core import ColumnType
from nannyml.performance_estimation.confidence_based import metrics as cbpe
from scipy import special, stats
from scipy.spatial import distance
from sklearn import metrics

N, M = 400, 300


def spread(count, factor):
    """Numbers evenly over 0 to 1, in an irregular order."""
    return [((index * factor) % 1009 + 0.5) / 1009 for index in range(count)]


def normal(uniform):
    return [round(float(special.ndtri(u)), 4) for u in uniform]


first = normal(spread(N, 387))
second = [round(0.3 + 1.2 * value, 4) for value in normal(spread(M, 614))]
edges = [-1.5, -1, -0.5, 0, 0.5, 1, 1.5]


def counts(values):
    bins = [0] * (len(edges) + 1)
    for value in values:
        bins[sum(1 for edge in edges if value > edge)] += 1
    return bins


a, b = counts(first), counts(second)
p, q = numpy.array(a) / N, numpy.array(b) / M
ks = stats.ks_2samp(first, second, method="asymp")
chi = stats.chi2_contingency([a, b], correction=False)

result = {
    "madeWith": {module.__name__: module.__version__ for module in (scipy, evidently, nannyml)},
    "edges": edges,
    "first": first,
    "second": second,
    "countsFirst": a,
    "countsSecond": b,
    "psi": float(stats.entropy(p, q) + stats.entropy(q, p)),
    "jensenShannon": float(distance.jensenshannon(p, q, base=2)),
    "kolmogorovSmirnov": float(ks.statistic),
    "kolmogorovSmirnovP": float(special.kolmogorov(ks.statistic * math.sqrt(N * M / (N + M)))),
    "wasserstein": float(stats.wasserstein_distance(first, second)),
    "standardDeviation": float(numpy.std(first)),
    "chiSquareP": float(chi.pvalue),
    # One-sided, pooled: the root of Pearson's statistic of the 2 x 2 table is the normal deviate.
    "largerShareP": float(stats.norm.sf(math.sqrt(stats.chi2_contingency([[30, 170], [15, 185]], correction=False)[0]))),
    "tails": {
        "chiSquare": [[x, df, float(stats.chi2.sf(x, df))] for df in (1, 3, 9, 40) for x in (0.1, 2.0, 15.0, 90.0)],
        "normal": [[z, float(stats.norm.sf(z))] for z in (-3.0, -0.5, 0.0, 1.3, 4.0, 8.0)],
        "student": [[t, df, float(stats.t.sf(t, df))] for df in (1, 4, 21, 100) for t in (-2.0, 0.0, 0.7, 3.0, 12.0)],
        "kolmogorov": [[x, float(special.kolmogorov(x))] for x in (0.3, 0.8, 1.17, 1.19, 2.0, 3.5)],
        "held": [[k, n, x, float(stats.binom.sf(k - 1, n, x))] for k, n in ((1, 1), (2, 2), (2, 3), (3, 5)) for x in (0.001, 0.1, 0.6)],
    },
    "benjaminiHochberg": {
        "pValues": [0.001, 0.2, 0.012, 0.03, 0.5, 0.011, 0.04],
        "adjusted": [float(x) for x in stats.false_discovery_control([0.001, 0.2, 0.012, 0.03, 0.5, 0.011, 0.04])],
    },
}

probabilities = [round(0.02 + 0.96 * u * u, 4) for u in spread(800, 733)]
labels = [1 if v < u else 0 for u, v in zip(probabilities, spread(800, 251))]

result["truth"] = {
    "probabilities": probabilities,
    "labels": labels,
    "auc": float(metrics.roc_auc_score(labels, probabilities)),
    "logLoss": float(metrics.log_loss(labels, probabilities)),
    "brier": float(metrics.brier_score_loss(labels, probabilities)),
    "rmse": float(metrics.root_mean_squared_error(labels, probabilities)),
    "mae": float(metrics.mean_absolute_error(labels, probabilities)),
}

answers = numpy.array(probabilities)
result["estimate"] = {
    "auc": float(cbpe.estimate_roc_auc(answers, answers)),
    "accuracy": float(cbpe.estimate_accuracy((answers >= 0.5).astype(int), answers)),
}

number = ColumnType.Numerical
left, right = pandas.Series(first), pandas.Series(second)
result["evidently"] = {
    "wasserstein": float(stattests.wasserstein_stat_test(left, right, number, 0.1).drift_score),
    "kolmogorovSmirnovP": float(stattests.ks_stat_test(left, right, number, 0.05).drift_score),
}

print(json.dumps(result, separators=(",", ":")).replace('],"', '],\n"').replace('},"', '},\n"'))
