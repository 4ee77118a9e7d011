"""The table and the picture of docs/speed.json, see run.py."""

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

COLORS = {
    "keras.applications": "#d00000",
    "torchvision": "#ee7733",
    "deploy": "#0077bb",
    "saved_model": "#999999",
    "onnx": "#009988",
    "litert": "#aa3377",
    "openvino": "#ddaa33",
    "torch": "#332288",
}
"""Whom a ratio is over, or the format of a file."""

PANELS = ("construction", "inference", "training", "memory", "saving", "loading", "deploy", "exported")
"""How the names of measures begin."""


def rows(kept):
    """(backend, network and size, measure, over whom, ratio) of all that is kept."""
    return [
        (backend, place, what, who, ratio)
        for backend, places in sorted(kept.items())
        for place, measures in sorted(places.items())
        for what, found in sorted(measures.items(), key=_order)
        for who, ratio in found["ratios"].items()
    ]


def table(kept):
    """A line for each network on each backend, and what it is over; then where they were measured."""
    lines = {}
    for backend, place, what, who, ratio in rows(kept):
        compared = "itself" if what.startswith(("deploy", "exported")) else who
        label = f"{who}" if what.startswith("exported") else what
        lines.setdefault((backend, place, compared), []).append(f"{label} {ratio:.2f}")
    for key, found in _alone(kept):
        lines[key] = found
    head = "| backend | network, pixels | over | ratios; of what nobody else has, the figures |\n|---|---|---|---|\n"
    body = "".join(f"| {' | '.join(key)} | {'; '.join(lines[key])} |\n" for key in sorted(lines))
    return head + body + "\n" + "".join(f"- {line}\n" for line in _machines(kept))


def _order(entry):
    return next(i for i, panel in enumerate(PANELS) if entry[0].startswith(panel)), entry[0]


def _alone(kept):
    """((backend, network and size, "alone"), figures) of networks that no other library has."""
    for backend, places in sorted(kept.items()):
        for place, measures in sorted(places.items()):
            alone = [(what, found) for what, found in sorted(measures.items(), key=_order) if not found["ratios"]]
            units = [
                (what, unit, found[unit]["ours"]) for what, found in alone for unit in ("ms", "MB") if unit in found
            ]
            if units:
                yield (
                    (backend, place, "alone"),
                    [f"{what} {value:,.{int(value < 10)}f} {unit}" for what, unit, value in units],
                )


def _machines(kept):
    """What figures depend on, a line for each backend's version, machine and way of counting."""
    seen = {}
    for backend, places in sorted(kept.items()):
        for measures in places.values():
            for found in measures.values():
                how = found["how"]
                clock = "the processor's time" if how["cpu_time"] else "the clock's time"
                key = (
                    f"{backend} {how[backend]}, Keras {how['keras']}; {how['machine']['processor']}, "
                    f"{how['machine']['cores']} cores; {clock} in {how['threads']} thread{'s'[: how['threads'] - 1]}"
                )
                seen.setdefault(key, []).append((how["rounds"], how["machine"]["load"]))
    for key, found in seen.items():
        rounds, loads = [count for count, _ in found], [load for _, load in found if not isinstance(load, str)]
        yield f"{key}; medians of {_range(rounds)} rounds; the machine's load was {_range(loads)}."


def _range(values):
    return f"{min(values)}" if min(values) == max(values) else f"{min(values)} to {max(values)}"


def draw(kept, path):
    """A panel for each kind of measure, a line for each network, a point for each ratio, on a scale of powers: to the
    left of 1 is faster, or smaller."""
    points = rows(kept)
    labels = sorted({f"{backend}: {place}" for backend, place, *_ in points}, reverse=True)
    panels = [panel for panel in PANELS if any(what.startswith(panel) for _, _, what, _, _ in points)]
    size = (2.6 + 1.45 * len(panels), 1.6 + 0.19 * len(labels))
    figure, all_axes = plt.subplots(1, len(panels), figsize=size, sharex=True, sharey=True, squeeze=False)
    for panel, axes in zip(panels, all_axes[0]):
        for backend, place, what, who, ratio in points:
            if what.startswith(panel):
                one = what.endswith(("of 1", ", 1")) and panel != "exported"
                fill = "white" if one else COLORS[who]
                # What lies side by side is seen, where it is as fast, too.
                above = 0.15 * list(COLORS).index(who) - 0.75 if panel == "exported" else 0.15 * one
                y = labels.index(f"{backend}: {place}") + above
                axes.plot(ratio, y, "o", markersize=4, markeredgecolor=COLORS[who], markerfacecolor=fill)
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_xticks([0.125, 0.25, 0.5, 1, 2], ["⅛", "¼", "½", "1", "2"], fontsize=7)
        axes.set_xticks([], minor=True)
        axes.set_title(panel, fontsize=8)
        axes.grid(axis="y", color="#dddddd", linewidth=0.5)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
    all_axes[0][0].set_yticks(range(len(labels)), labels, fontsize=7)
    all_axes[0][0].set_ylim(-0.7, len(labels) - 0.3)
    marks = {who: color for who, color in COLORS.items() if any(who == each[3] for each in points)}
    handles = [plt.Line2D([], [], marker="o", linestyle="", markersize=4, color=color) for color in marks.values()]
    figure.legend(handles, marks, loc="lower center", bbox_to_anchor=(0.5, 0), ncols=len(marks), fontsize=7)
    figure.supxlabel(
        "ours over theirs; of deploy and exported files, over the model; hollow: one image",
        fontsize=8,
        y=0.35 / size[1],
    )
    figure.tight_layout(rect=(0, 0.3 / size[1], 1, 1))
    figure.savefig(path, dpi=110)
    plt.close(figure)
