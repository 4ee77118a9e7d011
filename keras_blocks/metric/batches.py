"""Batches of pairs and of triplets, drawn from labelled images."""

from collections.abc import Callable
from typing import Any, TypeAlias, Unpack

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_blocks.core import validation
from keras_blocks.typing import DatasetOptions

Array: TypeAlias = np.ndarray[Any, Any]
Augment: TypeAlias = Callable[[Array, np.random.Generator], Array]


class SamplerOptions(DatasetOptions, total=False):
    """What all samplers take."""

    batches: int | None
    seed: int | None
    augment: Augment | None


class ClassSampler(keras.utils.PyDataset):
    """What samplers have in common: images by class, and a draw that follows from seed, epoch and batch alone."""

    def __init__(
        self,
        images: ArrayLike,
        labels: ArrayLike,
        batch_size: int = 32,
        *,
        batches: int | None = None,
        seed: int | None = None,
        augment: Augment | None = None,
        **kwargs: Unpack[DatasetOptions],
    ):
        super().__init__(**kwargs)
        self.images, self.labels = np.asarray(images), np.asarray(labels).reshape(-1)
        if self.images.ndim != 4 or len(self.images) != np.asarray(labels).size:
            raise ValueError(
                "`images` must have the shape (images, height, width, channels), and `labels` be one for each; "
                f"received images of the shape {self.images.shape} and labels of {np.shape(labels)}."
            )
        self.classes, of_image = np.unique(self.labels, return_inverse=True)
        self.members = [np.flatnonzero(of_image == number) for number in range(len(self.classes))]
        if len(self.classes) < 2:
            raise ValueError(f"`labels` must be of two classes at least; received {self.classes.tolist()}.")
        single = [self.classes[number].item() for number, found in enumerate(self.members) if len(found) < 2]
        if single:
            raise ValueError(f"`labels` must give each class two images at least; one alone have {single[:10]}.")
        self.batch_size = validation.integer("batch_size", batch_size, least=2)
        self.batches = (
            -(-len(self.images) // self.batch_size) if batches is None else validation.integer("batches", batches)
        )
        # An unseeded sampler follows keras.utils.set_random_seed, which seeds numpy, too.
        self.seed = int(np.random.randint(2**31)) if seed is None else validation.seed("seed", seed)
        if augment is not None and not callable(augment):
            raise TypeError(f"`augment` must be a function (images, rng) -> images, or None; received {augment!r}.")
        self.augment = augment
        self.epoch = 0

    def __len__(self) -> int:
        return self.batches

    def on_epoch_end(self) -> None:
        self.epoch += 1

    def _rng(self, index: int) -> np.random.Generator:
        if not 0 <= index < self.batches:
            raise IndexError(f"there are {self.batches} batches; received the index {index}.")
        return np.random.default_rng((self.seed, self.epoch, index))

    def _take(self, indices: Array, rng: np.random.Generator) -> Array:
        """Images by index, augmented."""
        images = self.images[indices]
        if self.augment is None:
            return images
        changed = np.asarray(self.augment(images, rng))
        if len(changed) != len(images):
            raise ValueError(f"`augment` must give an image for each; received {len(changed)} for {len(images)}.")
        return changed

    def _two_of(self, number: int, rng: np.random.Generator) -> Array:
        """Two different images of a class."""
        return rng.choice(self.members[number], 2, replace=False)

    def _one_of(self, number: int, rng: np.random.Generator) -> Any:
        return rng.choice(self.members[number])


class PairSampler(ClassSampler):
    """Pairs of images, half of them of one class, for the loss of a `Siamese`.

    A class is drawn first, then its images, so that a class of few images counts as much as any. Batch `i` of epoch `n`
    follows from the seed alone, whatever was drawn before it and by how many workers.

    Args:
        images: array of the shape `(images, height, width, channels)`.
        labels: array of as many classes, integers or strings.
        batch_size: pairs in a batch.
        batches: batches in an epoch; `None` for as many as show about as many pairs as there are images.
        positives: share of the pairs that are of one class, in every batch (rounded to whole pairs).
        seed: of the draws; `None` follows `keras.utils.set_random_seed`.
        augment: function `(images, rng) -> images`, called on an array of images and a numpy Generator; `None` for
            none.
        **kwargs: `workers`, `use_multiprocessing`, `max_queue_size`, as in every `keras.utils.PyDataset`.

    Output shape:
        `((left, right), same)`: two arrays `(batch, height, width, channels)`, and `(batch, 1)` of 1.0 for pairs of one
        class and 0.0 for others.

    Raises:
        TypeError, ValueError: at construction for an argument out of range, for a class with a single image, or for
            images all of one class.

    Reference:
        Koch et al., "Siamese Neural Networks for One-shot Image Recognition", 2015, section 4.2.

    Example:

    >>> import keras_blocks, numpy as np
    >>> pairs = keras_blocks.PairSampler(np.zeros((6, 8, 8, 1)), [0, 0, 1, 1, 2, 2], batch_size=4, seed=1)
    >>> (left, right), same = pairs[0]
    >>> left.shape, right.shape, same.sum()
    ((4, 8, 8, 1), (4, 8, 8, 1), np.float32(2.0))
    """

    def __init__(
        self,
        images: ArrayLike,
        labels: ArrayLike,
        batch_size: int = 32,
        *,
        positives: float = 0.5,
        **kwargs: Unpack[SamplerOptions],
    ):
        super().__init__(images, labels, batch_size, **kwargs)
        self.positives = validation.number("positives", positives, least=0, most=1)

    def __getitem__(self, index: int) -> tuple[tuple[Array, Array], Array]:
        rng = self._rng(index)
        same = np.arange(self.batch_size) < round(self.positives * self.batch_size)
        rng.shuffle(same)
        pairs = np.array([self._pair(alike, rng) for alike in same])
        left, right = (self._take(pairs[:, side], rng) for side in (0, 1))
        return (left, right), same.astype("float32")[:, None]

    def _pair(self, alike: bool, rng: np.random.Generator) -> Any:
        if alike:
            return self._two_of(int(rng.integers(len(self.classes))), rng)
        return [self._one_of(number, rng) for number in rng.choice(len(self.classes), 2, replace=False)]


class TripletSampler(ClassSampler):
    """Triplets of images: an anchor, a positive of its class, and a negative of another; for `TripletLoss`.

    Row after row the batch holds an anchor, its positive, its negative, the next anchor, and so on, so that it trains
    `Siamese.embedding` by `TripletLoss(mining=None)`; with its labels, other triplets are mined in it as well.

    Args:
        images: array of the shape `(images, height, width, channels)`.
        labels: array of as many classes, integers or strings.
        batch_size: triplets in a batch, whose images are three times as many.
        batches: batches in an epoch; `None` for as many as show about as many triplets as there are images.
        seed: of the draws; `None` follows `keras.utils.set_random_seed`.
        augment: function `(images, rng) -> images`, called on an array of images and a numpy Generator; `None` for
            none.
        **kwargs: `workers`, `use_multiprocessing`, `max_queue_size`, as in every `keras.utils.PyDataset`.

    Output shape:
        `(images, classes)`: `(3 * batch, height, width, channels)`, and `(3 * batch,)`, numbers of the classes in the
        sorted order of the labels.

    Raises:
        TypeError, ValueError: at construction for an argument out of range, for a class with a single image, or for
            images all of one class.

    Reference:
        Schroff et al., "FaceNet: A Unified Embedding for Face Recognition and Clustering", 2015, section 3.2.

    Example:

    >>> import keras_blocks, numpy as np
    >>> triplets = keras_blocks.TripletSampler(np.zeros((6, 8, 8, 1)), list("aabbcc"), batch_size=4, seed=1)
    >>> images, classes = triplets[0]
    >>> images.shape, classes.shape, bool((classes[0::3] == classes[1::3]).all())
    ((12, 8, 8, 1), (12,), True)
    """

    def __getitem__(self, index: int) -> tuple[Array, Array]:
        rng = self._rng(index)
        rows, numbers = [], []
        for _ in range(self.batch_size):
            own, other = rng.choice(len(self.classes), 2, replace=False)
            rows += [*self._two_of(own, rng), self._one_of(other, rng)]
            numbers += [own, own, other]
        return self._take(np.array(rows), rng), np.array(numbers, "int32")


class PKSampler(ClassSampler):
    """As many images of as many classes in every batch, in which `TripletLoss` mines triplets.

    Each image has several positives in the batch, and all other images are its negatives.

    Args:
        images: array of the shape `(images, height, width, channels)`.
        labels: array of as many classes, integers or strings.
        classes: number of classes in a batch, the paper's P.
        per_class: number of images of each, the paper's K; a class of fewer images shows some of them again.
        batches: batches in an epoch; `None` for as many as show about as many images as there are.
        seed: of the draws; `None` follows `keras.utils.set_random_seed`.
        augment: function `(images, rng) -> images`, called on an array of images and a numpy Generator; `None` for
            none.
        **kwargs: `workers`, `use_multiprocessing`, `max_queue_size`, as in every `keras.utils.PyDataset`.

    Output shape:
        `(images, classes)`: `(classes * per_class, height, width, channels)`, and `(classes * per_class,)`, numbers of
        the classes in the sorted order of the labels.

    Raises:
        TypeError, ValueError: at construction for an argument out of range, for more classes than there are, or for a
            class with a single image.

    Reference:
        Hermans et al., "In Defense of the Triplet Loss for Person Re-Identification", 2017, section 2.

    Example:

    >>> import keras_blocks, numpy as np
    >>> batches = keras_blocks.PKSampler(np.zeros((6, 8, 8, 1)), list("aabbcc"), classes=2, per_class=2, seed=1)
    >>> images, classes = batches[0]
    >>> images.shape, len(set(classes))
    ((4, 8, 8, 1), 2)
    """

    def __init__(
        self,
        images: ArrayLike,
        labels: ArrayLike,
        classes: int = 32,
        per_class: int = 4,
        **kwargs: Unpack[SamplerOptions],
    ):
        self.classes_in_batch = validation.integer("classes", classes, least=2)
        self.per_class = validation.integer("per_class", per_class, least=2)
        super().__init__(images, labels, self.classes_in_batch * self.per_class, **kwargs)
        if self.classes_in_batch > len(self.classes):
            raise ValueError(f"`classes` must be at most the {len(self.classes)} of `labels`; received {classes}.")

    def __getitem__(self, index: int) -> tuple[Array, Array]:
        rng = self._rng(index)
        numbers = rng.choice(len(self.classes), self.classes_in_batch, replace=False)
        rows = [self._some_of(number, rng) for number in numbers]
        return self._take(np.concatenate(rows), rng), np.repeat(numbers, self.per_class).astype("int32")

    def _some_of(self, number: int, rng: np.random.Generator) -> Array:
        members = self.members[number]
        again = -(-self.per_class // len(members))
        return np.concatenate([rng.permutation(members) for _ in range(again)])[: self.per_class]
