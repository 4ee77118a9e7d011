"""Values for a search space, drawn without a tuner."""

import random

import keras_tuner


def drawn_with(space, probability):
    """The whole space with values, each from a number from 0 to below 1 that `probability()` gives."""
    declared, hp = keras_tuner.HyperParameters(), keras_tuner.HyperParameters()
    space.declare_hyperparameters(declared)
    for each in declared.space:
        hp._register(each)
        if hp.is_active(each):
            hp.values[each.name] = each.prob_to_value(probability())
    return hp


def draw(space, seed):
    """The whole space with values drawn at random."""
    return drawn_with(space, random.Random(seed).random)
