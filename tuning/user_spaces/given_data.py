"""Data of a user's own: a training, a validation and perhaps a test part, of anything that Keras trains on."""

import dataclasses
import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_blocks.core.signature import needed
from keras_blocks.tuning.data.batches import Batches
from keras_blocks.tuning.data.dataset import Dataset
from keras_blocks.tuning.data.leaves import are_arrays, leaves
from keras_blocks.tuning.data.stored import Images, StoredImages

PARTS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class GivenData:
    """Two or three parts, each as `model.fit` takes it.

    A part is a tuple (x, y) or (x, y, sample weights) of arrays, where x and y may also be dicts or lists of arrays; or
    what makes its own batches: a `tf.data.Dataset`, a `keras.utils.PyDataset`, a PyTorch `DataLoader`, Grain's loaders.

    Attributes:
        name: of the data, for people.
        train, validation, test: the parts; the last may be `None`.
        identity: the user's own text that tells these data from others; by default the arrays' contents, or the name.
        told: plain data for result.json. Of images: the names of their classes, in the order of a model's outputs, and
            what their pixels were multiplied by.
    """

    name: str
    train: Any
    validation: Any
    test: Any = None
    identity: str | None = None
    told: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_function(cls, function: Callable[[], Any], name: str, identity: str | None = None) -> "GivenData":
        """What a user's function returns.

        Raises:
            TypeError, ValueError: where that are no parts.
        """
        if not callable(function):
            raise TypeError(
                f"`data`: {name} must be a function that returns the data; it is {type(function).__name__}."
            )
        if wanted := needed(function):
            raise TypeError(f"`data`: {name} must be a function without arguments; it wants {wanted}.")
        parts = function()
        if isinstance(parts, dict) and {*parts} >= {"train", "validation"} and {*parts} <= {*PARTS}:
            parts = tuple(parts[part] for part in PARTS if part in parts)
        if not isinstance(parts, (tuple, list)) or len(parts) not in (2, 3):
            raise TypeError(
                f"`data`: {name} must return (train, validation) or (train, validation, test), each as (x, y) or what "
                f"makes batches; it returned {_described(parts)}."
            )
        parts = [_mixed(*part) if _is_stored(part) else part for part in parts]
        for part, value in zip(PARTS, parts):
            _check_part(f"{name} ({part})", value)
        return cls(name, parts[0], parts[1], parts[2] if len(parts) == 3 else None, identity)

    @classmethod
    def from_dataset(cls, dataset: Dataset) -> "GivenData":
        """The images of a `Dataset`, scaled to 0 .. 1; of those that are in a file, `Batches` of 32."""
        parts = ((getattr(dataset, f"x_{part}"), getattr(dataset, f"y_{part}")) for part in ("train", "val", "test"))
        train, validation, test = (_scaled(x, y, dataset.scale) for x, y in parts)
        told = {"class_names": list(dataset.class_names), "scale": dataset.scale}
        return cls(dataset.name, train, validation, test, f"scaled {dataset.fingerprint()}", told)

    def fingerprint(self) -> str:
        """What tells these data from others: the user's own text, the arrays' contents, or the function's name."""
        if self.identity is not None:
            return self.identity
        parts = [part for part in (self.train, self.validation, self.test) if part is not None]
        if not all(map(are_arrays, parts)):
            return self.name
        found = hashlib.sha256()
        for part in parts:
            for path, leaf in leaves(part):
                array = np.ascontiguousarray(keras.ops.convert_to_numpy(leaf))
                found.update(f"{path} {array.dtype} {array.shape}\n".encode())
                found.update(str(array.tolist()).encode() if array.dtype.hasobject else array.tobytes())
        return found.hexdigest()

    def fit_arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of `fit` that are data."""
        args, kwargs = as_arguments(self.train)
        return args, {**kwargs, "validation_data": self.validation}

    def example(self) -> Any:
        """The inputs of one example, as NumPy arrays with a batch of one."""
        batch = self.train if are_arrays(self.train) else _first_batch(self.train)
        inputs = batch[0] if isinstance(batch, (tuple, list)) else batch
        return keras.tree.map_structure(lambda leaf: keras.ops.convert_to_numpy(leaf[:1]), inputs)

    def shapes(self) -> str:
        """What the training part consists of, in words: of arrays, or of the first batch."""
        batch = self.train if are_arrays(self.train) else _first_batch(self.train)
        batch = batch if isinstance(batch, (tuple, list)) else (batch,)
        told = (
            f"{name} of {', '.join(str(tuple(leaf.shape)) for leaf in keras.tree.flatten(part))}"
            for name, part in zip(("x", "y"), batch)
        )
        return " and ".join(told)

    def described(self) -> str:
        """The parts in words."""
        parts = ((part, getattr(self, part)) for part in PARTS)
        return ", ".join(f"{part} {_described(value)}" for part, value in parts if value is not None)


def as_arguments(part: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A part as `fit` and `evaluate` take it."""
    if not are_arrays(part):
        return (part,), {}
    return tuple(part[:2]), {"sample_weight": part[2]} if len(part) == 3 else {}


def _check_part(name: str, part: Any) -> None:
    if are_arrays(part):
        counts = {len(leaf) for _, leaf in leaves(part)}
        if len(counts) > 1 or 0 in counts:
            raise ValueError(f"`data`: {name} must have as many x as y, at least one; received {sorted(counts)}.")
        return
    if isinstance(part, Iterator) or inspect.isgenerator(part):
        raise TypeError(
            f"`data`: {name} must be what can be gone through again for each trial; received a "
            f"{type(part).__name__}, which ends. Give a keras.utils.PyDataset, a tf.data.Dataset or a DataLoader."
        )
    if isinstance(part, (tuple, list, dict, str, bytes)) or not (
        hasattr(part, "__iter__") or hasattr(part, "__getitem__")
    ):
        raise TypeError(f"`data`: {name} must be (x, y) of arrays, or what makes batches; received {_described(part)}.")


def _is_stored(part: Any) -> bool:
    """Whether it is images that are in a file, with their labels."""
    return isinstance(part, (tuple, list)) and len(part) == 2 and isinstance(part[0], StoredImages)


def _scaled(images: Images, labels: np.ndarray, scale: float) -> Any:
    if isinstance(images, np.ndarray):
        return (images * scale).astype("float32"), labels
    return _mixed(images, labels, scale)


def _mixed(images: StoredImages, labels: np.ndarray, scale: float | None = None) -> Batches:
    mixed = np.random.default_rng(0).permutation(len(images))  # of these batches, Keras draws the order
    return Batches(images.taken(mixed), labels[mixed], scale=scale)


def _first_batch(part: Any) -> Any:
    if isinstance(part, keras.utils.PyDataset):
        return part[0]
    return next(iter(part))


def _described(value: Any) -> str:
    if are_arrays(value):
        return f"of {len(next(leaves(value))[1]):,}"
    return f"of type {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, (tuple, list)) else "")
