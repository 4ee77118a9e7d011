"""The table and the picture of docs/speed.json, see run.py."""

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

COLORS = {"keras.applications": "#d00000", "torchvision": "#ee7733", "deploy": "#0077bb"}


def rows(kept):
    """(backend, network and size, measure, over whom, ratio) of all that is kept."""
    return [
        (backend, place, what, who, ratio)
        for backend, places in sorted(kept.items())
        for place, measures in sorted(places.items())
        for what, found in sorted(measures.items())
        for who, ratio in found["ratios"].items()
    ]


def table(kept):
    """A line for each network on each backend, and what it is over."""
    lines = {}
    for backend, place, what, who, ratio in rows(kept):
        compared = "itself" if what.startswith(("deploy", "exported")) else who
        label = f"{who}" if what.startswith("exported") else what
        lines.setdefault((backend, place, compared), []).append(f"{label} {ratio:.2f}")
    head = "| backend | network, pixels | over | ratios |\n|---|---|---|---|\n"
    return head + "".join(f"| {' | '.join(key)} | {'; '.join(found)} |\n" for key, found in lines.items())


def draw(kept, path):
    """A point for each ratio, on a scale of powers: to the left of 1 is faster."""
    points = rows(kept)
    labels = sorted({f"{backend}: {place}: {what}" for backend, place, what, _, _ in points}, reverse=True)
    figure, axes = plt.subplots(figsize=(9, 1 + 0.16 * len(labels)))
    seen = set()
    for backend, place, what, who, ratio in points:
        kind = who if who in COLORS else "exported file"
        y = labels.index(f"{backend}: {place}: {what}")
        axes.plot(ratio, y, "o", markersize=4, color=COLORS.get(who, "#009988"), label=None if kind in seen else kind)
        seen.add(kind)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xticks([0.25, 0.5, 1, 2], ["0.25", "0.5", "1", "2"])
    axes.set_xticks([], minor=True)
    axes.set_yticks(range(len(labels)), labels, fontsize=6)
    axes.set_xlabel("ours over theirs; of deploy and exported files, over the model: less is faster")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=4, fontsize=7)
    figure.savefig(path, dpi=110, bbox_inches="tight")
