"""The two pictures of a run, as PNG files."""

import numpy as np

from keras_blocks.tuning.files import replacing
from keras_blocks.tuning.study.objectives import short
from keras_blocks.tuning.study.status import Status

BLUE, ORANGE, GREY = "#1f5fa8", "#d9711c", "#8a8a8a"

STYLE = {
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
    "figure.constrained_layout.use": True,
}


def plot_trials(trials, best, path, *, title: str) -> None:
    """Draws the validation accuracy of each trial, in the order of the search and against the parameters.

    Args:
        trials: list of `Trial`. Failed and pruned ones are marked at the foot of the left picture.
        best: the `Trial` that was chosen, or `None`.
        path: of the PNG file.
        title: above both pictures.
    """
    completed = [trial for trial in trials if trial.completed and trial.val_accuracy is not None]
    numbers = [trial.number for trial in completed]
    accuracy = np.array([100 * trial.val_accuracy for trial in completed])
    figure, (left, right) = _figure(title)
    left.plot(numbers, accuracy, "o", color=BLUE, label="trial")
    left.step(numbers, np.maximum.accumulate(accuracy), where="post", color=ORANGE, label="best so far")
    _percent(left, accuracy)
    floor = left.get_ylim()[0]
    for status, marker in ((Status.FAILED, "x"), (Status.PRUNED, "v")):
        if those := [trial.number for trial in trials if trial.status == status]:
            left.plot(those, [floor] * len(those), marker, color=GREY, clip_on=False, label=status)
    left.set(xlabel="trial", ylabel="validation accuracy (%)", title="In the order of the search")
    left.set_xlim(-0.5, max((trial.number for trial in trials), default=0) + 0.5)
    left.xaxis.get_major_locator().set_params(integer=True)
    sized = [trial for trial in completed if trial.params]
    right.plot([trial.params for trial in sized], [100 * trial.val_accuracy for trial in sized], "o", color=BLUE)
    _percent(right, accuracy)
    right.set(xlabel="parameters", ylabel="validation accuracy (%)", title="Against the size of the model")
    if sized:
        right.set_xscale("log")
        _count_axis(right, [trial.params for trial in sized])
    if best is not None:
        for axis, place in ((left, best.number), (right, best.params)):
            axis.plot(place, 100 * best.val_accuracy, "o", ms=13, mfc="none", mec=ORANGE, mew=2, label="chosen")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    _save(figure, path)


def plot_result(result: dict, folder) -> None:
    """Draws the training that a run folder's result.json tells of."""
    title = f"Training of the model that is kept, on {result['data']}"
    plot_curves(result["history"], result["kept_epoch"] - 1, folder.curves_png, title=title)


def plot_curves(history: dict, kept: int, path, *, title: str) -> None:
    """Draws loss and accuracy after each epoch, and marks the epoch whose weights are kept.

    Args:
        history: of Keras, with loss, val_loss, accuracy, val_accuracy.
        kept: index of the kept epoch.
        path: of the PNG file.
        title: above both pictures.
    """
    from matplotlib.ticker import FuncFormatter

    epochs = np.arange(1, len(history["loss"]) + 1)
    marker = ".-" if len(epochs) <= 40 else "-"
    figure, axes = _figure(title)
    for axis, name, factor, label in ((axes[0], "loss", 1, "cross-entropy (nats)"), (axes[1], "accuracy", 100, "%")):
        train, validation = (factor * np.array(history[key]) for key in (name, f"val_{name}"))
        axis.axvline(kept + 1, color=GREY, ls=":", label=f"kept: epoch {kept + 1}")
        axis.plot(epochs, train, marker, color=BLUE, label="training, as it goes (with augmentation and dropout)")
        axis.plot(epochs, validation, marker, color=ORANGE, label="validation, after the epoch")
        axis.set(xlabel="epoch", xlim=(0.5, len(epochs) + 0.5))
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_ylabel(label if name == "loss" else "accuracy (%)")
    axes[0].set_title("Loss")
    losses = [*history["loss"], *history["val_loss"]]
    if min(losses) > 0 and max(losses) > 10 * min(losses):
        axes[0].set_yscale("log")
        axes[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes[1].set_title("Accuracy")
    _percent(axes[1], 100 * np.array([*history["accuracy"], *history["val_accuracy"]]))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    _save(figure, path)


def _figure(title):
    """Two pictures side by side, drawn without a screen and without pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with _style():
        figure = Figure(figsize=(11, 4.8), dpi=120)
        FigureCanvasAgg(figure)
        axes = figure.subplots(1, 2)
        figure.suptitle(title, fontsize=14)
    return figure, axes


def _save(figure, path):
    with _style(), replacing(path) as part:
        figure.savefig(part, format="png")


def _style():
    import matplotlib

    return matplotlib.rc_context(STYLE)


def _percent(axis, values):
    """From a little below the lowest value to a little above 100."""
    lowest = float(np.min(values, initial=100.0))
    axis.set_ylim(max(0.0, lowest - 0.08 * (100 - lowest) - 0.5), 100 + 0.04 * (100 - lowest) + 0.3)


def _count_axis(axis, counts):
    """A few round numbers with k and M on a logarithmic axis, whatever it spans."""
    from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

    low, high = min(counts) / 1.3, max(counts) * 1.3
    marks = [
        digit * 10**power for power in range(1, 10) for digit in (1, 2, 3, 5, 7) if low <= digit * 10**power <= high
    ]
    while len(marks) > 6:
        marks = marks[::2]
    axis.set_xlim(low, high)
    axis.set_xticks(marks or [round(low), round(high)])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
