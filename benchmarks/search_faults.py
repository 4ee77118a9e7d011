"""A search of 200 trials on real images, to which everything happens that can, and what is left of it at the end.

Faults: kill -9 of the search (which is started again with the same command), kill -9 of trials, trials that hang, that
run out of memory, that diverge to NaN, an invalid combination, a full disk. The run folder lies on a small file system
of its own (a tmpfs, for which this must run as root; otherwise the full disk is left out).

Run: python benchmarks/search_faults.py [--trials 200]      writes docs/search_faults.json
"""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

import psutil

from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.storage import StudyStorage, sqlite_url
from keras_blocks.tuning.study import quiet_optuna
from keras_blocks.tuning.trials import Trial

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "search_faults.json"
MEMORY = 3 * 2**30
BUDGET = 60_000
KEEP = 5


def command(run, trials):
    """A user's: the same each time that it is started."""
    return [
        *(sys.executable, __file__, "--searching", str(run), "--trials", str(trials)),
    ]


def searching(run, trials):
    """The search itself: the digits, with a space of which some draws are bad in each way that a trial can be."""
    from keras_blocks.tuning import Search, SearchSettings
    from keras_blocks.tuning.report import Progress
    from rich.console import Console

    space = HyperFaulty((8, 8, 1), 10, scale=1 / 16, groups=1, augmentation="none", batch_size=64, lottery=1)
    settings = SearchSettings(
        data="digits", trials=trials, epochs=2, final_epochs=2, sampler="random", max_params=BUDGET, keep=KEEP,
        max_trial_seconds=60, max_memory=MEMORY, grace=10,
    )
    with Progress(Console()) as progress:
        result = Search(settings, run, space=space).run(progress)
    print("ended:", result["ended"], flush=True)


def spaces():
    """The faulty space; imported late, so that what watches needs no Keras."""
    import numpy as np

    import keras_blocks
    from keras_blocks.tuning import HyperSqueezeNet

    class FaultyNet(keras_blocks.SqueezeNet):
        """Takes more memory than there is where it is told so."""

    class HyperFaulty(HyperSqueezeNet):
        parts = {**HyperSqueezeNet.parts, "fault": ["none"] * 1 + ["nan", "invalid", "memory"]}

    del np, FaultyNet
    return HyperFaulty


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--searching", type=pathlib.Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.searching:
        searching(arguments.searching, arguments.trials)
    else:
        watching(arguments.trials)
