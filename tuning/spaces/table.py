"""Tables of parts, name -> what it may be: merged with what users give, and drawn."""

import contextlib
import dataclasses

from keras_blocks.tuning.spaces.dimension import Fixed, Part, as_part


def merged(table: dict, given: dict, conditions: dict | None = None) -> dict:
    """The table's parts, those that users gave in place of the declared, under the declared conditions.

    Args:
        table: name -> a `Part`, a list of choices, or a value.
        given: name -> `Part`; other names are left out.
        conditions: name -> (name of another part, *its values), where alone the part is drawn.
    """
    found = {}
    for name, declared in table.items():
        declared = as_part(name, declared)
        part = dataclasses.replace(given.get(name, declared), conditions=declared.conditions)
        found[name] = part.when(*conditions[name]) if name in (conditions or {}) else part
    return found


def fixed(parts: dict, values: dict) -> dict:
    """The parts, with those that have a value here fixed to it."""
    return {
        name: dataclasses.replace(Fixed(values[name]), conditions=part.conditions) if name in values else part
        for name, part in parts.items()
    }


def counts(part: Part) -> list:
    """The numbers of groups that a part may be.

    Raises:
        ValueError: where they are no whole numbers from 1 on.
    """
    if any(isinstance(value, bool) or not isinstance(value, int) or value < 1 for value in part.extremes()):
        raise ValueError(f"`groups` must be integers of at least 1; received {part.extremes()!r}.")
    return part.values()


def draw(parts: dict, hp) -> dict:
    """Name -> value of each part whose conditions are met; without `hp`, the defaults.

    Every part is declared to KerasTuner, in the scopes of its conditions, whether they are met or not.
    """
    found = {}
    for name, part in parts.items():
        met = all(parent in found and found[parent] in values for parent, values in part.conditions)
        if hp is None or isinstance(part, Fixed):
            if met:
                found[name] = part.default
            continue
        needed = scopes(part, parts)
        if not all(needed.values()):
            continue
        with contextlib.ExitStack() as stack:
            for parent, labels in needed.items():
                stack.enter_context(hp.conditional_scope(parent, labels))
            value = part.draw(hp, name)
        if met:
            found[name] = value
    return found


def scopes(part: Part, parts: dict) -> dict:
    """Name -> labels of the parts on which this one depends, the outermost first; with no labels it is never drawn."""
    found = {}
    for parent, values in part.conditions:
        found.update(scopes(parts[parent], parts))
        possible = parts[parent].values()
        labels = [parts[parent].label(value) for value in possible if value in values]
        if len(labels) < len(possible):
            found[parent] = labels
    return found
