"""The picture of docs/search_comparison.json: the best validation accuracy against the seconds, means of five seeds.

    python benchmarks/search_curves.py

It takes what search_comparison.py has found.
"""

import json
import pathlib

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
from search_comparison import RESULTS

PICTURE = pathlib.Path(__file__).parents[1] / "docs" / "search_comparison.png"

TITLES = {"digits": "digits", "sign_digits": "sign digits", "cifar": "CIFAR-10"}

SEARCHES = {
    "breeding": ("ours, --sampler morph", "#d00000", "-"),
    "ours": ("ours, defaults", "#0077bb", "-"),
    "hyperband": ("KerasTuner's Hyperband", "#222222", "-"),
    "bayesian": ("KerasTuner's BayesianOptimization", "#777777", "--"),
    "before": ("ours as of 0.1.0", "#ee7733", ":"),
    "autokeras": ("AutoKeras' defaults", "#44aa99", ":"),
}


def best(run, seconds):
    """The best accuracy of a run's trials that have ended by each of some seconds; 0 before the first one."""
    found = np.zeros(len(seconds))
    for ended, _, accuracy in run["points"]:
        found = np.where(seconds >= ended, np.maximum(found, accuracy), found)
    return found


def main():
    runs = json.loads(RESULTS.read_text())
    names = list(dict.fromkeys(run["data"] for run in runs))
    figure, panels = plt.subplots(1, len(names), figsize=(4.2 * len(names), 3.8))
    for name, axes in zip(names, panels):
        own = [run for run in runs if run["data"] == name]
        seconds = np.linspace(0, own[0]["seconds"], 400)
        for method, (label, color, style) in SEARCHES.items():
            curves = [best(run, seconds) for run in own if run["method"] == method]
            axes.plot(seconds, 100 * np.mean(curves, axis=0), style, color=color, label=label, linewidth=1.6)
        axes.set(title=f"{TITLES[name]}, {own[0]['seconds']} s", xlabel="seconds of one core")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("best validation accuracy, %")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="lower center", ncols=3, frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0.13, 1, 1))
    figure.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
