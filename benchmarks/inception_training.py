"""What GoogLeNet's auxiliary classifiers and BatchNormalization do for training, on real images.

`googlenet_cifar`, a quarter of GoogLeNet's filters, from scratch: with and without auxiliary classifiers, with and
without BatchNormalization; the same images in the same order for all four, a number of seeds each. On CIFAR's 4,000
images of 32 pixels, tested on 1,000 others, and on the 2,062 sign-language digits of 64 pixels, tested on a fifth of
them that the seed chooses. The accuracy is that of the main classifier alone, on test images, after each epoch.

Writes the accuracies to docs/inception_training.json as it goes, and draws docs/inception_training.png from that file:

    python benchmarks/inception_training.py             # trains what the file lacks, then draws
    python benchmarks/inception_training.py --draw      # draws alone
"""

import argparse
import io
import itertools
import json
import pathlib
import statistics
import time
import zipfile

import keras
import matplotlib
import numpy as np
from cifar_training import augmented, load
from PIL import Image

import keras_blocks
from keras_blocks.models.inception_variants import INCEPTION_STEMS

matplotlib.use("agg")
import matplotlib.pyplot as plt

ROOT = pathlib.Path(__file__).parents[1]
SIGNS = ROOT.parent / "shared" / "data" / "sign_digits" / "sign_digits.zip"
RESULTS, PICTURE = ROOT / "docs" / "inception_training.json", ROOT / "docs" / "inception_training.png"

BATCH, RATE = 64, 1e-3
DATASETS = {"cifar": "CIFAR-10, 4,000 images of 32 pixels", "signs": "sign-language digits, 1,650 images of 64 pixels"}
KINDS = {
    "BN, auxiliaries": {"auxiliary": True},
    "BN": {},
    "no BN, auxiliaries": {"auxiliary": True, "batch_norm": False},
    "no BN": {"batch_norm": False},
}


def signs(seed):
    """Training and test images, normalized as the training images are, and their labels."""
    with zipfile.ZipFile(SIGNS) as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg")))
        pictures = [Image.open(io.BytesIO(archive.read(name))).convert("RGB") for name in names]
    images = np.stack([np.asarray(picture) for picture in pictures]).astype("float32") / 255
    labels = np.array([int(pathlib.PurePath(name).parent.name) for name in names])
    order = np.random.default_rng(seed).permutation(len(images))
    test, train = np.split(order, [len(images) // 5])
    mean, std = images[train].mean((0, 1, 2)), images[train].std((0, 1, 2))
    images = (images - mean) / std
    return images[train], labels[train], images[test], labels[test]


def network(dataset, options):
    if dataset == "signs":  # one more pooling at the start: the groups see 16, 8 and 4 pixels, as CIFAR's do
        first, *others = keras_blocks.Inception.variants["googlenet_cifar"]["stem"]
        options = {"input_shape": (64, 64, 3), "stem": [first, INCEPTION_STEMS["v1"][1], *others], **options}
    return keras_blocks.create_model("googlenet_cifar", classifier_activation=None, **options)


def train(dataset, kind, seed, epochs):
    """Test accuracy after each epoch."""
    x_train, y_train, x_test, y_test = load() if dataset == "cifar" else signs(seed)
    keras.utils.set_random_seed(seed)
    model = network(dataset, KINDS[kind])
    steps = len(x_train) // BATCH
    schedule = keras.optimizers.schedules.CosineDecay(
        RATE / 10, steps * (epochs - 1), warmup_target=RATE, warmup_steps=steps
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(schedule), loss, jit_compile=False)  # XLA is slower on a CPU
    main = model.without_auxiliary()
    rng = np.random.default_rng(seed)
    accuracies = []
    for _ in range(epochs):
        order = rng.permutation(len(x_train))[: steps * BATCH]
        images = augmented(x_train[order], rng) if dataset == "cifar" else x_train[order]
        model.fit(images, y_train[order], batch_size=BATCH, shuffle=False, verbose=0)
        scores = main.predict(x_test, batch_size=BATCH, verbose=0)
        accuracies.append(round(float((scores.argmax(1) == y_test).mean()), 4))
    return accuracies


def draw(results):
    """A panel for each dataset: the seeds' mean after each epoch, and the range from the worst to the best of them."""
    figure, panels = plt.subplots(1, len(DATASETS), figsize=(11, 4.2), layout="constrained")
    for panel, (dataset, title) in zip(panels, DATASETS.items()):
        for number, kind in enumerate(KINDS):
            runs = [run["accuracies"] for run in results if (run["dataset"], run["kind"]) == (dataset, kind)]
            if not runs:
                continue
            curves = 100 * np.array(runs)
            epochs = np.arange(1, curves.shape[1] + 1)
            label = f"{kind}: {curves[:, -1].mean():.1f} %"
            panel.plot(epochs, curves.mean(0), color=f"C{number}", label=label)
            panel.fill_between(epochs, curves.min(0), curves.max(0), color=f"C{number}", alpha=0.15, linewidth=0)
        panel.set(title=title, xlabel="epoch", ylabel="test accuracy, %", ylim=(0, None))
        panel.grid(alpha=0.3)
        panel.legend(loc="lower right", title="mean of the seeds at the end")
    figure.savefig(PICTURE, dpi=120)
    plt.close(figure)


def report(results):
    for dataset in DATASETS:
        for kind in KINDS:
            last = [run["accuracies"][-1] for run in results if (run["dataset"], run["kind"]) == (dataset, kind)]
            if last:
                each = "  ".join(f"{100 * value:.1f}" for value in last)
                print(f"{dataset:6} {kind:20} mean {100 * statistics.mean(last):5.1f} %   seeds {each}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar-epochs", type=int, default=6)
    parser.add_argument("--signs-epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--draw", action="store_true", help="draw what the file has, and train nothing")
    given = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    done = {(run["dataset"], run["kind"], run["seed"]) for run in results}
    epochs = {"signs": given.signs_epochs, "cifar": given.cifar_epochs}
    # Seed by seed, so that what is done when it is interrupted can be compared; the last kind is an extra.
    *kinds, extra = KINDS
    seeds = range(1, given.seeds + 1)
    runs = [*itertools.product(seeds, kinds, epochs), *itertools.product(seeds, [extra], epochs)]
    for seed, kind, dataset in () if given.draw else runs:
        if (dataset, kind, seed) in done:
            continue
        start = time.perf_counter()
        accuracies = train(dataset, kind, seed, epochs[dataset])
        seconds = time.perf_counter() - start
        print(f"{dataset} {kind} seed {seed}: {accuracies[-1]}, {seconds:.0f} s", flush=True)
        results.append({"dataset": dataset, "kind": kind, "seed": seed, "accuracies": accuracies})
        RESULTS.write_text("[\n" + ",\n".join(map(json.dumps, results)) + "\n]\n")
    report(results)
    draw(results)
