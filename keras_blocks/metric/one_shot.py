"""How well a model tells classes apart of each of which it has seen one image."""

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike


class OneShotModel(Protocol):
    """What `one_shot_accuracy` asks: the number of the class in `support` that each query is most like."""

    def one_shot(self, support: ArrayLike, queries: ArrayLike, batch_size: int) -> Any: ...


def one_shot_accuracy(model: OneShotModel, runs: Iterable[tuple[Any, Any, Any]], batch_size: int = 32) -> float:
    """N-way one-shot accuracy over published runs, such as Omniglot's twenty of 20 ways.

    Args:
        model: a `Siamese`, or anything with its method `one_shot(support, queries, batch_size)`.
        runs: iterable of `(support, queries, answers)`: an image of each class (or several, see
            `Siamese.similarities`), the images to classify, and the index of each one's class in the support.
        batch_size: how many images at a time.

    Returns:
        The share of all queries that are classified rightly, from 0 to 1.

    Raises:
        ValueError: for no runs, or a run whose answers do not fit its images.

    Reference:
        Lake et al., "Human-level concept learning through probabilistic program induction", 2015; the runs are those of
        github.com/brendenlake/omniglot, `all_runs.zip`.

    Example:

    >>> import keras_blocks, numpy as np
    >>> net = keras_blocks.Siamese("resnet20_cifar", "l2", embedding=16, input_shape=(16, 16, 1))
    >>> images = np.random.default_rng(0).uniform(size=(5, 16, 16, 1))
    >>> keras_blocks.one_shot_accuracy(net, [(images, images[[3, 1]], [3, 1])])
    1.0
    """
    right = []
    for number, (support, queries, answers) in enumerate(runs):
        answers = np.asarray(answers)
        if answers.shape != (len(queries),) or answers.min() < 0 or answers.max() >= len(support):
            raise ValueError(
                f"`runs[{number}]` must have an index into its {len(support)} classes for each of its {len(queries)} "
                f"queries; received {answers.tolist()}."
            )
        right.extend(model.one_shot(support, queries, batch_size) == answers)
    if not right:
        raise ValueError("`runs` must not be empty; received no run.")
    return float(np.mean(right))
