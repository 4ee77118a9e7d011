"""`cost` of SqueezeNet 1.0 against building it: cold, and when its blocks were counted before.

Cold: nothing counted yet. Warm: all of its blocks were counted before; only they are remembered, so the network itself
is walked anew. Targets: at most 1/4 and 1/50 of the building time.
"""

import keras
from timing import interleaved

import keras_blocks
from keras_blocks.costs import cost as costs


def build():
    keras_blocks.SqueezeNet()


def cold():
    costs._counted.cache_clear()
    keras_blocks.cost(keras_blocks.SqueezeNet)


def warm():
    keras_blocks.cost(keras_blocks.SqueezeNet)


if __name__ == "__main__":
    seconds = interleaved({"build": build, "cold": cold, "warm": warm}, rounds=15)
    print(f"backend {keras.backend.backend()}, Keras {keras.__version__}, medians of 15 interleaved rounds")
    print(f"build {seconds['build'] * 1e3:8.2f} ms")
    for name, target in (("cold", 4), ("warm", 50)):
        ratio = seconds["build"] / seconds[name]
        met = "met" if ratio >= target else "missed"
        print(f"{name}  {seconds[name] * 1e3:8.2f} ms   1/{ratio:.1f} of building   target 1/{target}: {met}")
