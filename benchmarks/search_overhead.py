"""What a search takes beside building and training: seconds of the wall for a trial, less those two.

On a machine that does much else the wall says little: the CPU time of the process that searches is told, too, which is
all of it but what the process that trains does between two trainings (garbage, and models that are kept).

Run: python benchmarks/search_overhead.py [--trials 30]
"""

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path

from keras_blocks.tuning import Search, SearchSettings
from keras_blocks.tuning.search.session import Session


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=30)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        parts = {"groups": 1, "filters": 8, "group1_blocks": 1, "augmentation": "none"}
        settings = SearchSettings(data="digits", trials=arguments.trials, epochs=1, final_epochs=1, parts=_fixed(parts))
        search = Search(settings, Path(folder) / "run", session=Timed)
        search.run()
        spent = search.session.spent
        trials = [trial for trial in search.trials if trial.completed]
        raw = {
            frozen.number: frozen.user_attrs["result"]
            for frozen in search.study.optuna.get_trials(deepcopy=False)
            if "result" in frozen.user_attrs
        }
    over, own = [], 1000 * spent / len(trials)
    for before, trial in itertools.pairwise(trials):  # the first waits for the process to start
        over.append(trial.ended - before.ended - raw[trial.number]["building"] - raw[trial.number]["training"])
    print(
        f"{len(over)} trials: building {1000 * statistics.median(raw[t.number]['building'] for t in trials):.0f} ms, "
        f"training {1000 * statistics.median(raw[t.number]['training'] for t in trials):.0f} ms, "
        f"beside them {1000 * statistics.median(over):.0f} ms (medians; "
        f"{1000 * min(over):.0f} to {1000 * max(over):.0f}, mean {1000 * statistics.mean(over):.0f}); "
        f"CPU time of the process that searches {own:.0f} ms a trial"
    )


class Timed(Session):
    """Knows what CPU time its process took while it searched."""

    spent = 0.0

    def run(self, *args, **kwargs):
        began = time.process_time()
        try:
            return super().run(*args, **kwargs)
        finally:
            self.spent = time.process_time() - began


def _fixed(parts):
    return {name: {"fixed": value} for name, value in parts.items()}


if __name__ == "__main__":
    main()
