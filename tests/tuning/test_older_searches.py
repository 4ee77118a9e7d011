"""A search that 0.1.0 began goes on: its trials count, are ranked, and are not drawn again."""

import functools
import pathlib
import shutil

from keras_blocks.tuning import Search, SearchSettings
from keras_blocks.tuning.search.session import Session

FIXTURE = pathlib.Path(__file__).parents[1] / "fixtures" / "0.1.0" / "search"
"""Five trials of HyperSqueezeNet on the digits, run by 0.1.0 with its tests' fake child, up to their end."""

OBJECTIVES = [0.9920770046301186, 0.2925766713451594, 0.31607487541623414, 0.8679554741829634, 0.9520481505896896]
"""As 0.1.0 told them."""


def test_a_search_of_0_1_0_goes_on(untrained, tmp_path):
    run = tmp_path / "search"
    shutil.copytree(FIXTURE, run)
    settings = SearchSettings(data="digits", trials=7, epochs=3, final_epochs=4, seed=7)
    search = Search(settings, run, session=functools.partial(Session, look_seconds=0.05))
    assert [trial.objectives for trial in search.trials] == [(value,) for value in OBJECTIVES]
    result = search.run()
    trials = search.trials
    search.close()
    assert [trial.number for trial in trials] == list(range(7))
    assert [trial.objectives[0] for trial in trials[:5]] == OBJECTIVES
    assert {trial.status for trial in trials} == {"completed"}
    assert len({str((trial.metaparameters, trial.hyperparameters)) for trial in trials}) == 7
    assert all(trial.architecture == "keras_blocks>SqueezeNet" for trial in trials)
    assert (result["trial"], result["trials"]) == (max(trials, key=lambda trial: trial.objectives).number, 7)
