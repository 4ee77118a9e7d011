"""One ranking says which trial is trained on, kept, marked and written."""

import dataclasses

from keras_blocks.tuning.study.objectives import OBJECTIVES, ranking
from keras_blocks.tuning.study.trial import Trial

ACCURACY = [OBJECTIVES["val_accuracy"]]


def trial(number, accuracy=None, loss=0.5, **changes):
    status = "failed" if accuracy is None else "completed"
    return dataclasses.replace(Trial(number, status, {}, val_accuracy=accuracy, val_loss=loss), **changes)


def numbers(trials, objectives):
    return [one.number for one in ranking(trials, objectives)]


def test_the_best_trial_has_the_highest_accuracy_then_the_lowest_loss_then_the_lowest_number():
    trials = [trial(0, 0.5), trial(1, 0.9, 0.4), trial(2, 0.9, 0.3), trial(3), trial(4, 0.9, 0.3)]
    assert numbers(trials, ACCURACY) == [2, 4, 1, 0]
    assert numbers(trials[::-1], ACCURACY) == [2, 4, 1, 0]
    assert numbers([trial(0)], ACCURACY) == numbers([], ACCURACY) == []


def test_equal_ones_are_told_apart_by_the_further_objectives():
    two = [*ACCURACY, OBJECTIVES["macs"]]
    values = [(0.9, 50), (0.9, 40), (0.8, 10), (0.9, 40)]
    trials = [trial(i, values[i][0], loss=0.5 - 0.1 * i, objectives=values[i]) for i in range(4)]
    assert numbers(trials, two) == [3, 1, 0, 2]


def test_other_objectives():
    trials = [trial(0, 0.9, 0.4, objectives=(0.4,)), trial(1, 0.8, 0.3, objectives=(0.3,))]
    assert numbers(trials, [OBJECTIVES["val_loss"]]) == [1, 0]
    assert numbers([trial(0, 0.9, None), trial(1, 0.9, float("nan")), trial(2, 0.9, 5.0)], ACCURACY) == [2, 0, 1]
