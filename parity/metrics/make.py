"""Golden file for the metrics and the paired tests: what the reference implementations say of seeded random rankings.

References: ir_measures 0.4.3 (through pytrec_eval-terrier, which is trec_eval), torchmetrics 1.9.0 on torch 2.15.0, scipy 1.17.1,
statsmodels 0.15.0, NumPy 2.4.6. Seed 6. Tolerance: 1e-9 for figures in float64, 1e-6 for torchmetrics, which computes in float32;
0.02 for the p of a randomisation test, which draws.

    python parity/metrics/make.py

writes golden.json
    rankings    two models: for each query the ranks, from 1, of its relevant items in a gallery of 120
    metrics     of each model: {name as in `tombolo eval --json`: {reference: figure}}
    mcnemar     [[only first, only second, p]]: scipy's exact binomial test, statsmodels' exact McNemar
    randomised  [[differences, p]]: scipy.stats.permutation_test over all assignments
    holm        [[p], [corrected]]: statsmodels.stats.multitest

The metrics of torchmetrics that normalise otherwise are left out: its recall divides by all relevant items (ours by min(K, relevant)).
"""

import json
from pathlib import Path

import ir_measures
import numpy as np
import scipy.stats
import torch
from ir_measures import AP, P, Qrel, RR, ScoredDoc, Success, nDCG
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from torchmetrics.retrieval import RetrievalHitRate, RetrievalMAP, RetrievalNormalizedDCG, RetrievalPrecision

QUERIES, GALLERY = 60, 120
TREC = {
    "recall@1": Success @ 1, "recall@5": Success @ 5, "recall@10": Success @ 10,
    "precision@1": P @ 1, "precision@5": P @ 5, "precision@10": P @ 10,
    "map_cut@50": AP @ 50, "map@all": AP, "ndcg@10": nDCG @ 10, "mean_reciprocal_rank": RR,
}
TORCH = {
    "recall@1": RetrievalHitRate(top_k=1), "recall@5": RetrievalHitRate(top_k=5), "recall@10": RetrievalHitRate(top_k=10),
    "precision@1": RetrievalPrecision(top_k=1), "precision@5": RetrievalPrecision(top_k=5),
    "precision@10": RetrievalPrecision(top_k=10), "map@50": RetrievalMAP(top_k=50), "map@all": RetrievalMAP(),
    "ndcg@10": RetrievalNormalizedDCG(top_k=10),
}


def metrics(order, relevant):
    """`order`: for each query the gallery's rows, best first; `relevant`: for each query its relevant rows."""
    qrels = [Qrel(str(q), str(d), 1) for q, rows in enumerate(relevant) for d in rows]
    run = [ScoredDoc(str(q), str(d), float(GALLERY - i)) for q, rows in enumerate(order) for i, d in enumerate(rows)]
    trec = ir_measures.calc_aggregate(list(TREC.values()), qrels, run)
    found = {name: {"ir_measures": trec[measure]} for name, measure in TREC.items()}
    scores = torch.zeros(QUERIES, GALLERY)
    target = torch.zeros(QUERIES, GALLERY, dtype=torch.long)
    for q in range(QUERIES):
        scores[q, list(order[q])] = torch.arange(GALLERY, 0, -1).float()
        target[q, list(relevant[q])] = 1
    indexes = torch.arange(QUERIES).repeat_interleave(GALLERY)
    for name, metric in TORCH.items():
        value = metric(scores.flatten(), target.flatten(), indexes=indexes).item()
        found.setdefault(name, {})["torchmetrics"] = value
    del found["mean_reciprocal_rank"]
    return found


def main():
    rng = np.random.default_rng(6)
    relevant = [sorted(rng.choice(GALLERY, size=rng.integers(1, 9), replace=False).tolist()) for _ in range(QUERIES)]
    models = []
    for skill in (1.5, 2.5):
        scores = rng.normal(size=(QUERIES, GALLERY))
        for q, rows in enumerate(relevant):
            scores[q, rows] += skill
        order = np.argsort(-scores, axis=1).tolist()
        ranks = [sorted(order[q].index(row) + 1 for row in rows) for q, rows in enumerate(relevant)]
        models.append({"ranks": ranks, "metrics": metrics(order, relevant)})

    tables = [(0, 0), (1, 4), (10, 25), (100, 140), (3, 0), (700, 611)]
    exact = []
    for first, second in tables:
        p = mcnemar([[5, first], [second, 5]], exact=True).pvalue if first + second else 1.0
        binomial = scipy.stats.binomtest(first, first + second).pvalue if first + second else 1.0
        assert abs(p - binomial) < 1e-9, (first, second)
        exact.append([first, second, float(p)])
    randomised = []
    for differences in (rng.normal(0.6, 1, size=12), rng.integers(-1, 2, size=14).astype(float), rng.normal(1.0, 1, size=12)):
        test = scipy.stats.permutation_test((differences,), np.sum, permutation_type="samples", n_resamples=np.inf)
        randomised.append([differences.tolist(), float(test.pvalue)])
    p = rng.uniform(0, 0.2, size=7).tolist()
    holm = multipletests(p, method="holm")[1].tolist()
    golden = {
        "gallery": GALLERY,
        "rankings": [model["ranks"] for model in models],
        "metrics": [model["metrics"] for model in models],
        "mcnemar": exact,
        "randomised": randomised,
        "holm": [p, holm],
    }
    Path(__file__).with_name("golden.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
