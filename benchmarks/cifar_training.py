"""ResNet-20 for CIFAR, trained from scratch on 4,000 images: ours against a rebuild in plain `keras.layers`.

A pair has the same initial weights and sees the same augmented images in the same order, so that a seed's luck falls on
both. He et al. 2015, section 4.2: crops of images padded by 4 pixels, mirrored half of the time; SGD with momentum;
here with a cosine schedule after a warm-up, and a stronger weight decay, for so few images.

Target: ours reaches at least the rebuild's mean accuracy on the 1,000 test images.
"""

import argparse
import pathlib
import statistics
import time

import keras
import numpy as np
from PIL import Image

import keras_blocks

DATA = pathlib.Path(__file__).parents[2] / "shared" / "data" / "cifar10_5k"
BATCH_NORM = {"epsilon": 1e-5, "momentum": 0.9}
WEIGHT_DECAY = 5e-4


def ours():
    return keras_blocks.create_model(
        "resnet20_cifar", classifier_activation=None, kernel_regularizer=keras.regularizers.L2(WEIGHT_DECAY / 2)
    )


def rebuilt():
    """The same network as a Keras user would write it, after the paper."""

    def convolution(x, filters, strides=1):
        x = keras.layers.ZeroPadding2D(1)(x)
        x = keras.layers.Conv2D(
            filters,
            3,
            strides,
            use_bias=False,
            kernel_initializer="he_normal",
            kernel_regularizer=keras.regularizers.L2(WEIGHT_DECAY / 2),
        )(x)
        return keras.layers.BatchNormalization(**BATCH_NORM)(x)

    inputs = keras.Input((32, 32, 3))
    x = keras.layers.ReLU()(convolution(inputs, 16))
    for filters in (16, 32, 64):
        for block in range(3):
            strides = 2 if filters > 16 and block == 0 else 1
            shortcut = x
            if strides > 1:  # option A: every second pixel, zeros for the new channels
                shortcut = keras.ops.pad(x[:, ::2, ::2], [(0, 0), (0, 0), (0, 0), (filters // 4, filters // 4)])
            x = keras.layers.ReLU()(convolution(x, filters, strides))
            x = keras.layers.ReLU()(keras.layers.Add()([shortcut, convolution(x, filters)]))
    x = keras.layers.GlobalAveragePooling2D()(x)
    scores = keras.layers.Dense(
        10, kernel_initializer="he_normal", kernel_regularizer=keras.regularizers.L2(WEIGHT_DECAY / 2)
    )(x)
    return keras.Model(inputs, scores)


def read(name):
    images = np.asarray(Image.open(DATA / f"{name}.png").convert("RGB")).reshape(-1, 32, 32, 3)
    return images.astype("float32") / 255


def load():
    """Training and test images, normalized channel by channel as the training images are, and their labels."""
    train, test = np.concatenate([read(f"train_{i}") for i in range(4)]), read("test_0")
    mean, std = train.mean((0, 1, 2)), train.std((0, 1, 2))
    with np.load(DATA / "labels.npz") as labels:
        y_train, y_test = labels["train"][: len(train)], labels["test"][: len(test)]
    return (train - mean) / std, y_train, (test - mean) / std, y_test


def augmented(images, rng):
    """A crop of each image, padded by 4 pixels of the mean colour; half of them mirrored."""
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (32, 32), axis=(1, 2))
    top, left = rng.integers(0, 9, (2, len(images)))
    crops = np.moveaxis(windows[np.arange(len(images)), top, left], 1, -1)
    mirrored = rng.random(len(images)) < 0.5
    crops[mirrored] = crops[mirrored, :, ::-1]
    return np.ascontiguousarray(crops)


def train(model, data, seed, epochs, batch, rate):
    """Share of the test images that the trained model gets right, and the seconds it took."""
    x_train, y_train, x_test, y_test = data
    steps = len(x_train) // batch
    schedule = keras.optimizers.schedules.CosineDecay(
        rate / 10, steps * (epochs - 1), warmup_target=rate, warmup_steps=steps
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(schedule, momentum=0.9), loss, jit_compile=False)  # XLA is slower on a CPU
    rng = np.random.default_rng(seed)
    start = time.perf_counter()
    for _ in range(epochs):
        order = rng.permutation(len(x_train))[: steps * batch]
        images = augmented(x_train[order], rng)
        model.fit(images, y_train[order], batch_size=batch, epochs=1, shuffle=False, verbose=0)
    seconds = time.perf_counter() - start
    scores = model.predict(x_test, batch_size=batch, verbose=0)
    return float((scores.argmax(1) == y_test).mean()), seconds


def pair(data, seed, options):
    """Accuracies of ours and of the rebuild, from the same initial weights."""
    keras.utils.set_random_seed(seed)
    theirs, mine = rebuilt(), ours()
    if [weight.shape for weight in theirs.weights] != [weight.shape for weight in mine.weights]:
        raise AssertionError("The rebuild's weights are not those of ours, in the same order.")
    mine.set_weights(theirs.get_weights())
    np.testing.assert_allclose(*(model.predict(data[2][:100], verbose=0) for model in (mine, theirs)), atol=1e-4)
    found = {}
    # Whoever comes first, each seed in turn: a machine's load is not one's alone.
    models = [("ours", mine), ("rebuilt", theirs)]
    for name, model in models if seed % 2 else reversed(models):
        found[name], seconds = train(model, data, seed, **options)
        print(f"seed {seed}  {name:8}{100 * found[name]:6.1f} %   {seconds:6.0f} s", flush=True)
    return found["ours"], found["rebuilt"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=0.1, help="the highest learning rate")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = vars(parser.parse_args())
    seeds = range(1, arguments.pop("seeds") + 1)
    print(f"backend {keras.backend.backend()}, Keras {keras.__version__}, {arguments}", flush=True)
    data = load()
    accuracies = [pair(data, seed, arguments) for seed in seeds]
    mine, theirs = (statistics.mean(values) for values in zip(*accuracies))
    print(f"mean    ours    {100 * mine:6.1f} %")
    print(f"mean    rebuilt {100 * theirs:6.1f} %")
    print(f"ours at least the rebuild's: {'met' if mine >= theirs else 'missed'}")
