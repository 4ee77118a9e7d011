"""A search space of tiny SqueezeNets of which some draws do what breaks a search. For search_faults.py."""

import time
import zlib

import keras
import numpy as np

import keras_blocks
from keras_blocks.tuning import Candidate, HyperSqueezeNet

FAULTS = {3: "nan", 11: "memory", 23: "hang", 31: "invalid"}
"""Draws whose digest, of 60, is this."""


class FaultyNet(keras_blocks.SqueezeNet):
    """Where it has 3 times as many classes' worth of dropout as is sound, building takes all memory, or for ever."""

    def classifier(self, x):
        if keras.backend.is_keras_tensor(x):  # built, not counted
            if self.metaparameters.dropout == 0.123:
                self._ballast = [np.ones(2**27) for _ in range(16)]  # a GiB each
            if self.metaparameters.dropout == 0.321:
                time.sleep(3600)
        return super().classifier(x)


class HyperFaulty(HyperSqueezeNet):
    """Each draw is what its values say, and so a fault again where it is drawn again."""

    architecture = FaultyNet

    def candidate(self, hp):
        sound = super().candidate(hp)
        told = repr(sorted({**sound.hyperparameters, "filters": sound.metaparameters["groups"]}.items()))
        fault = FAULTS.get(zlib.crc32(told.encode()) % 60)
        metaparameters, hyperparameters = dict(sound.metaparameters), dict(sound.hyperparameters)
        if fault == "nan":
            hyperparameters |= {"optimizer": "sgd", "learning_rate": 1e6}
        elif fault == "invalid":
            metaparameters["groups"] = []
        elif fault is not None:
            metaparameters["dropout"] = {"memory": 0.123, "hang": 0.321}[fault]
        return Candidate(sound.architecture, metaparameters, hyperparameters)
