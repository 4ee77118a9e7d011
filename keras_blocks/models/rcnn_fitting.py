"""R-CNN's last steps, which are solved for: box regression by ridge regression, classes by linear SVMs."""

import dataclasses
from collections.abc import Iterator
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_blocks.core.extras import require
from keras_blocks.ops.boxes import box_iou, encode_boxes

Array: TypeAlias = np.ndarray[Any, Any]

LENGTH = 20.0
"""Mean length that features are scaled to. Reference: the authors' `rcnn_scale_features`."""

FIRST_NEGATIVES = 64
"""Negatives of an image that the first SVM of a class sees."""

HARD, EASY = -1.0, -1.2
"""Scores of negatives that are added, and below which they are left out. Reference: the authors' `rcnn_train`."""


@dataclasses.dataclass
class Examples:
    """What a model sees in the regions of labelled images, one image at a time."""

    model: Any
    x: Any
    y: Any
    batch_size: int

    @property
    def classes(self) -> int:
        return int(self.model.metaparameters.classes)

    def __post_init__(self) -> None:
        given = self.model.assembly.training
        found = self.model.get_layer("head")(self.model.get_layer("backbone")([given["image"], given["proposals"]]))
        parts = {name: found[name] for name in ("values", "features")}
        parts |= {name: given[name] for name in ("proposals", "scale")}
        self.seen = keras.Model(self.model.assembly.inputs, parts)
        if self.model.compiled:
            self.seen.compile(jit_compile=self.model.jit_compile, run_eagerly=self.model.run_eagerly)

    def images(self, kind: str, with_objects: bool) -> Iterator[tuple[Array, Array, Array, Array]]:
        """(numbers of each region, regions, objects, their labels) of each image, all on its canvas, without padding.

        Args:
            kind: "values" or "features", see `RegionHead`.
            with_objects: whether the objects' boxes are regions, too, the last ones.
        """
        for inputs, truth in self._batches():
            boxes, labels = (np.asarray(keras.ops.convert_to_numpy(truth[name])) for name in ("boxes", "labels"))
            inputs = {name: np.asarray(keras.ops.convert_to_numpy(inputs[name])) for name in ("image", "proposals")}
            if with_objects:
                inputs["proposals"] = np.concatenate([inputs["proposals"], boxes], axis=1)
            found = self.seen.predict_on_batch(inputs)
            objects, labels = map(
                keras.ops.convert_to_numpy, self.model._truth(found, {"boxes": boxes, "labels": labels})
            )
            for values, regions, some, of in zip(found[kind], found["proposals"], objects, labels):
                there = regions[:, 2] > regions[:, 0]
                yield values[there], regions[there], some[of >= 0], of[of >= 0]

    def _batches(self) -> Iterator[tuple[Any, Any]]:
        if self.y is not None:
            for i in range(0, len(self.y["labels"]), self.batch_size):
                x, y = ({name: part[name][i : i + self.batch_size] for name in part} for part in (self.x, self.y))
                yield x, y
        elif isinstance(self.x, keras.utils.PyDataset):
            for i in range(len(self.x)):
                yield self.x[i]
        else:
            yield from self.x


def box_regression(examples: Examples, ridge: float, iou: float) -> tuple[Array, Array, list[int]]:
    """Kernel and bias of the moves of boxes, and how many regions of each class they were learned of."""
    values: list[list[Array]] = [[] for _ in range(examples.classes)]
    moves: list[list[Array]] = [[] for _ in range(examples.classes)]
    size = examples.model.get_layer("head").deltas.kernel.shape[0]
    for seen, regions, objects, labels in examples.images("values", with_objects=False):
        if not len(objects) or not len(regions):
            continue
        overlaps = overlap(regions, objects)
        best = overlaps.argmax(axis=1)
        near = overlaps.max(axis=1) >= iou
        wanted = keras.ops.convert_to_numpy(encode_boxes(objects[best], regions))
        for label in np.unique(labels[best[near]]):
            chosen = near & (labels[best] == label)
            values[label].append(seen[chosen])
            moves[label].append(wanted[chosen])
    scale = scale_of([part for parts in values for part in parts])
    kernel = np.zeros((size, 4 * (examples.classes + 1)), "float32")
    bias = np.zeros(kernel.shape[1:], "float32")
    counts = []
    for label, (some, wanted) in enumerate(zip(values, moves), start=1):
        counts.append(sum(map(len, some)))
        if some:
            columns = slice(4 * label, 4 * label + 4)
            kernel[:, columns], bias[columns] = ridge_regression(
                np.concatenate(some), np.concatenate(wanted), ridge, scale
            )
    return kernel, bias, counts


def ridge_regression(values: Array, wanted: Array, ridge: float, scale: float = 1.0) -> tuple[Array, Array]:
    """Kernel and bias of least squares; the kernel of values times `scale` is penalized, the bias is not."""
    values, wanted = values.astype("float64"), wanted.astype("float64")
    mean, middle = values.mean(axis=0), wanted.mean(axis=0)
    x, y = scale * (values - mean), wanted - middle
    count, size = x.shape
    # Of the two equal forms the one with the smaller matrix; least squares where there is no penalty.
    if ridge == 0:
        kernel = np.linalg.lstsq(x, y, rcond=None)[0]
    elif count < size:
        kernel = x.T @ np.linalg.solve(x @ x.T + ridge * np.eye(count), y)
    else:
        kernel = np.linalg.solve(x.T @ x + ridge * np.eye(size), x.T @ y)
    kernel = scale * kernel
    return kernel, middle - mean @ kernel


def linear_svms(
    examples: Examples, penalty: float, iou: float, seed: int
) -> tuple[Array, Array, list[tuple[int, int]]]:
    """Kernel and bias of an SVM for each class, and how many positives and negatives it was learned of."""
    svm = _sklearn_svm()
    rng = np.random.default_rng(seed)
    positives: list[list[Array]] = [[] for _ in range(examples.classes)]
    negatives: list[list[Array]] = [[] for _ in range(examples.classes)]
    for seen, regions, objects, labels in examples.images("features", with_objects=True):
        for label, free in enumerate(_free(regions, objects, labels, examples.classes, iou)):
            positives[label].append(seen[len(seen) - len(labels) :][labels == label])
            negatives[label].append(seen[rng.permutation(np.flatnonzero(free))[:FIRST_NEGATIVES]])
    some, others = map(_joined, (positives, negatives))
    scale = scale_of([*some, *others])

    def fitted(label: int) -> tuple[Array, float] | None:
        if not len(some[label]) or not len(others[label]):
            return None
        x = scale * np.concatenate([some[label], others[label]])
        y = np.arange(len(x)) < len(some[label])
        # As the authors called liblinear: hinge loss, errors on objects twice as dear, a bias of little penalty.
        machine = svm(
            C=penalty,
            loss="hinge",
            dual=True,
            class_weight={True: 2.0, False: 1.0},
            intercept_scaling=10.0,
            max_iter=100_000,
            random_state=seed,
        ).fit(x, y)
        return scale * machine.coef_[0], float(machine.intercept_[0])

    machines = list(map(fitted, range(examples.classes)))
    kept: list[list[Array]] = [[x[_scores(x, machine) >= EASY]] for x, machine in zip(others, machines)]
    for seen, regions, objects, labels in examples.images("features", with_objects=True):
        for label, free in enumerate(_free(regions, objects, labels, examples.classes, iou)):
            kept[label].append(seen[free][_scores(seen[free], machines[label]) > HARD])
    # What was seen and is hard is among what was kept.
    others = [np.unique(x, axis=0) if len(x) else first for x, first in zip(_joined(kept), others)]
    kernel = np.zeros((examples.model.get_layer("head").svm_scores.kernel.shape[0], examples.classes + 1), "float32")
    bias = np.full(kernel.shape[1:], -100.0, "float32")
    for label in range(examples.classes):
        if machine := fitted(label):
            kernel[:, label + 1], bias[label + 1] = machine
    return kernel, bias, [(len(a), len(b)) for a, b in zip(some, others)]


def overlap(regions: Array, objects: Array) -> Array:
    """Intersection over union of each with each."""
    return np.asarray(keras.ops.convert_to_numpy(box_iou(regions, objects)))


def scale_of(parts: list[Array]) -> float:
    """What brings vectors to a mean length of `LENGTH`."""
    lengths = np.concatenate([np.linalg.norm(part, axis=1) for part in parts]) if parts else np.zeros(0)
    return LENGTH / float(lengths.mean()) if lengths.any() else 1.0


def _free(regions: Array, objects: Array, labels: Array, classes: int, iou: float) -> Iterator[Array]:
    """Of each class, which regions overlap none of its objects."""
    overlaps = overlap(regions, objects) if len(objects) and len(regions) else np.zeros((len(regions), len(objects)))
    for label in range(classes):
        yield overlaps[:, labels == label].max(axis=1, initial=0.0) < iou


def _joined(parts: list[list[Array]]) -> list[Array]:
    return [np.concatenate(of) if of else np.zeros((0, 1)) for of in parts]


def _scores(x: Array, machine: tuple[Array, float] | None) -> Array:
    return np.full(len(x), np.inf) if machine is None else x @ machine[0] + machine[1]


def _sklearn_svm() -> Any:
    require("sklearn", "detection")
    from sklearn.svm import LinearSVC

    return LinearSVC
