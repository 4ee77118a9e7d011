"""The epochs of a detector's training: judged, the best kept, and each a point from which another process goes on."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_blocks.detection.dataset import DetectionDataset
from keras_blocks.detection.evaluation import evaluate_detections
from keras_blocks.tuning.training import checkpoint
from keras_blocks.tuning.training.fit import learning_rate_of


class DetectorEpochs(keras.callbacks.Callback):
    """After each epoch, validates, keeps the model where its mAP is the highest so far, and writes a checkpoint.

    Args:
        dataset: it is validated on.
        path: of the checkpoint.
        signature: of what is trained; from a checkpoint with another none goes on.
        keep: function of the model.
        watch: function of (epochs done, the epoch's metrics).
    """

    def __init__(
        self,
        dataset: DetectionDataset,
        path: Path,
        signature: str,
        keep: Callable[[keras.Model], object],
        watch: Callable[[int, Mapping[str, float]], object],
    ) -> None:
        super().__init__()
        self._dataset, self._path, self._signature = dataset, path, signature
        self._keep, self._watch = keep, watch
        self.history: dict[str, list[float]] = {}
        self.epoch, self.figures = -1, {"mAP": -1.0}
        self.weights: list[Any] = []
        self.notes: list[str] = []

    @property
    def done(self) -> int:
        """Epochs that this process need not train."""
        return len(self.history.get("loss", ()))

    def take_up(self, model: keras.Model) -> None:
        """Gives a compiled model, its optimizer built, the state after the last epoch, where there is one."""
        if not self._path.exists():
            return
        if (found := checkpoint.taken_up(self._path, model, self._signature, self.notes.append)) is not None:
            state, self.weights = found
            self.history, self.epoch, self.figures = state["history"], state["epoch"], state["figures"]
            self.notes.append(f"goes on after epoch {self.done}")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = {} if logs is None else logs
        if not np.isfinite(logs["loss"]):
            return
        figures = evaluate_detections(self.model, self._dataset)
        logs |= {f"val_{name}": figures[name] for name in ("mAP", "mAP@0.5")}
        if figures["mAP"] >= self.figures["mAP"]:
            self.epoch, self.figures, self.weights = epoch, figures, self.model.get_weights()
            self._keep(self.model)
        for name, value in {**logs, "learning_rate": learning_rate_of(self.model)}.items():
            self.history.setdefault(name, []).append(float(value))
        best = {"epoch": self.epoch, "figures": self.figures}
        state = {"signature": self._signature, "history": self.history, **best}
        checkpoint.save(self._path, model=self.model, best=self.weights, state=state)
        self._watch(epoch + 1, logs)
