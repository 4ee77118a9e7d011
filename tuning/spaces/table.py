"""Tables of dimensions, name -> what it may be: merged with what users give, and drawn from sources."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras_tuner

from keras_blocks.tuning.study.dimension import MOST_STEPS, Dimension, Fixed, Range, Values, as_dimension
from keras_blocks.tuning.study.sources import Scale, Source

Table = dict[str, Dimension]
"""A dimension stands after those on which it depends."""

NO_SIZES = ("dropout", "drop_rate")
"""Dimensions that are numbers, and make a model neither larger nor smaller."""


class GivenSource:
    """The defaults, or values that were drawn before.

    Args:
        values: name -> what a trial keeps of it; others have their defaults.
    """

    def __init__(self, values: Mapping[str, Any] | None = None):
        self._values = values or {}

    def choice(self, name: str, labels: Sequence[Any]) -> Any:
        return self._values.get(name, labels[0])

    def number(self, name: str, scale: Scale) -> Any:
        return self._values.get(name, scale.default)


def merged(table: Mapping[str, Any], overrides: Table, conditions: Mapping[str, tuple[Any, ...]] = {}) -> Table:
    """The table's dimensions, those that users gave in place of the declared, under the declared conditions.

    Args:
        table: name -> a `Dimension`, a list of choices, or a value.
        overrides: name -> `Dimension`; names that the table lacks are left out.
        conditions: name -> (name of another dimension, *its values), where alone the dimension is drawn.

    Raises:
        TypeError: for text in place of numbers.
    """
    found = {}
    for name, declared in table.items():
        declared = as_dimension(name, declared)
        _check_kind(name, overrides.get(name, declared), declared)
        dimension = dataclasses.replace(overrides.get(name, declared), conditions=declared.conditions)
        found[name] = dimension.when(*conditions[name]) if name in conditions else dimension
    return found


def _check_kind(name: str, given: Dimension, declared: Dimension) -> None:
    """Refuses text where all that is declared is numbers: Python would say that it cannot multiply."""
    own = declared.edge_values()
    if all(type(value) in (int, float) for value in own) and any(isinstance(each, str) for each in given.edge_values()):
        raise TypeError(f"`{name}` must be numbers, such as {own}; received {given.edge_values()!r}.")


def fixed(dimensions: Table, values: Mapping[str, Any]) -> Table:
    """The dimensions, with those that have a value here fixed to it."""
    return {
        name: Fixed(values[name], conditions=dimension.conditions) if name in values else dimension
        for name, dimension in dimensions.items()
    }


def limited(name: str, dimension: Dimension, most: float) -> Dimension:
    """The dimension, unless it may be a number so large that counting a candidate would not end.

    Raises:
        ValueError: naming the dimension, its values and what is allowed.
    """
    values = dimension.edge_values()
    if any(isinstance(value, (int, float)) and value > most for value in values):
        raise ValueError(f"`{name}` must be at most {most}; received {values!r}.")
    return dimension


def counts(dimension: Dimension) -> list[int]:
    """The numbers of groups that a dimension may be.

    Raises:
        ValueError: where they are no whole numbers from 1 on.
    """
    if any(isinstance(value, bool) or not isinstance(value, int) or value < 1 for value in dimension.edge_values()):
        raise ValueError(f"`groups` must be integers of at least 1; received {dimension.edge_values()!r}.")
    return dimension.values()


def all_values(name: str, dimension: Dimension) -> list[Any]:
    """All that a dimension may be on which others depend.

    Raises:
        ValueError: for a range of numbers too large for that.
    """
    if isinstance(dimension, Range) and dimension.high - dimension.low > MOST_STEPS:
        raise ValueError(
            f"`{name}` must have at most {MOST_STEPS:,} values, as other dimensions depend on it; received a range "
            f"from {dimension.low!r} to {dimension.high!r}."
        )
    return dimension.values()


def draw(dimensions: Table, source: Source) -> tuple[Values, Values]:
    """Draws those dimensions whose conditions are met.

    Returns:
        (name -> what the source gave, name -> its value): the one is kept with a trial, the other has what is fixed,
        too.
    """
    labels, values = Values(), Values()
    for name, dimension in dimensions.items():
        if not all(parent in values and values[parent] in allowed for parent, allowed in dimension.conditions):
            continue
        if isinstance(dimension, Fixed):
            values[name] = dimension.value
        else:
            labels[name] = dimension.draw(source, name)
            values[name] = dimension.value_of(labels[name])
    return labels, values


def scopes(name: str, dimensions: Table) -> dict[str, list[Any]]:
    """Name -> labels of those on which a dimension depends, the outermost first; with no labels it is never drawn."""
    found = {}
    for parent, values in dimensions[name].conditions:
        found.update(scopes(parent, dimensions))
        possible = all_values(parent, dimensions[parent])
        labels = [dimensions[parent].label_of(value) for value in possible if value in values]
        if len(labels) < len(possible):
            found[parent] = labels
    return found


def sizes(dimensions: Table) -> list[str]:
    """The names of those that are numbers of anything but regularization."""

    def is_size(name: str, dimension: Dimension) -> bool:
        of_numbers = all(type(value) in (int, float) for value in dimension.edge_values())
        return of_numbers and name.rpartition("/")[2] not in NO_SIZES

    return [name for name, dimension in dimensions.items() if is_size(name, dimension)]


def drawable(dimensions: Table) -> Table:
    """Those that may be drawn: that are not fixed, and do not depend on what never is."""
    return {
        name: dimension
        for name, dimension in dimensions.items()
        if not isinstance(dimension, Fixed) and all(scopes(name, dimensions).values())
    }


class KerasTunerSource:
    """Draws as a KerasTuner tuner says. All dimensions are declared to it, those too that are not drawn now.

    Args:
        hp: `keras_tuner.HyperParameters`.
        dimensions: the table that is to be drawn from it; each one is declared in the scopes of its conditions.
    """

    def __init__(self, hp: keras_tuner.HyperParameters, dimensions: Table):
        self._hp, self._dimensions = hp, dimensions
        for name, dimension in drawable(dimensions).items():
            dimension.draw(self, name)

    def choice(self, name: str, labels: Sequence[Any]) -> Any:
        with self._scopes(name):
            return self._hp.Choice(name, list(labels))

    def number(self, name: str, scale: Scale) -> Any:
        kind = self._hp.Int if scale.whole else self._hp.Float
        with self._scopes(name):
            return kind(name, scale.low, scale.high, scale.step, scale.sampling, scale.start)

    @contextlib.contextmanager
    def _scopes(self, name: str) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for parent, labels in scopes(name, self._dimensions).items():
                stack.enter_context(self._hp.conditional_scope(parent, labels))
            yield
