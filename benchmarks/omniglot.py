"""One-shot classification of characters: a small ResNet of this library beside Koch's twin, under the same budget.

Trained on the 242 characters of the eight alphabets in Omniglot's two small background sets (Lake et al., "Human-level
concept learning through probabilistic program induction", 2015), tested on its 20 published runs of 20 ways, whose
characters are of other alphabets. Every run trains for as many seconds of processor time:

- "resnet": a ResNet on 28x28 pixels, embeddings of length 1, `TripletLoss` with semi-hard negatives in batches of
  `PKSampler`.
- "koch": `siamese_koch2015` on 105x105 pixels, as published: binary cross-entropy of pairs of `PairSampler`.

Both see characters turned by quarters as characters of their own, and images bent, turned, sheared, scaled and moved.

Target: the ResNet's accuracy, the mean of three seeds, is at least 70 %.
"""

import argparse
import io
import json
import math
import pathlib
import time
import zipfile

import keras
import numpy as np
from PIL import Image

import keras_blocks

DATA = pathlib.Path(__file__).parents[2] / "shared" / "data" / "omniglot_small"
RESULTS = pathlib.Path(__file__).parents[1] / "docs" / "omniglot.json"

EVALUATION_ALPHABETS = {
    "Angelic",
    "Atemayar_Qelisayer",
    "Atlantean",
    "Aurek-Besh",
    "Avesta",
    "Ge_ez",
    "Glagolitic",
    "Gurmukhi",
    "Kannada",
    "Keble",
    "Malayalam",
    "Manipuri",
    "Mongolian",
    "Old_Church_Slavonic_(Cyrillic)",
    "Oriya",
    "Sylheti",
    "Syriac_(Serto)",
    "Tengwar",
    "Tibetan",
    "ULOG",
}
"""Of images_evaluation.zip of github.com/brendenlake/omniglot, from which the published runs are drawn."""


def drawing(archive, name, size):
    """The ink of a drawing, from 0 to 1: (size, size, 1)."""
    image = Image.open(io.BytesIO(archive.read(name))).convert("L")
    return 1 - np.asarray(image.resize((size, size), Image.Resampling.BOX), "float32")[..., None] / 255


def background(size, folder=DATA):
    """(drawings, characters) of the two sets, which share two alphabets; a character is "Greek/character01"."""
    found = {}
    for number in (1, 2):
        with zipfile.ZipFile(folder / f"images_background_small{number}.zip") as archive:
            for name in archive.namelist():
                if name.endswith(".png"):
                    key = name.partition("/")[2]
                    found[key] = drawing(archive, name, size) if key not in found else found[key]
    names = sorted(found)
    characters = np.array([name.rpartition("/")[0] for name in names])
    return np.stack([found[name] for name in names]), characters


def published_runs(size, folder=DATA):
    """The 20 runs, each `(support, queries, answers)`."""
    runs = []
    with zipfile.ZipFile(folder / "all_runs.zip") as archive:
        for number in range(1, 21):
            lines = archive.read(f"run{number:02}/class_labels.txt").decode().split("\n")
            queries, answers = zip(*(line.split() for line in lines if line.strip()))
            classes = sorted(set(answers))
            support, queries = (
                np.stack([drawing(archive, name, size) for name in some]) for some in (classes, queries)
            )
            runs.append((support, queries, np.array([classes.index(answer) for answer in answers])))
    return runs


def check_disjoint(drawings, characters, runs):
    """Raises an error where an alphabet, or a single drawing, is in both the background and the runs."""
    alphabets = {character.partition("/")[0] for character in characters}
    if both := alphabets & EVALUATION_ALPHABETS:
        raise AssertionError(f"alphabets of the runs are in the background: {sorted(both)}")
    known = {drawing.tobytes() for drawing in drawings}
    tested = [drawing for support, queries, _ in runs for drawing in (*support, *queries)]
    if any(drawing.tobytes() in known for drawing in tested):
        raise AssertionError("a drawing of the runs is in the background")


def with_quarter_turns(drawings, characters):
    """Each character turned by 0, 90, 180 and 270 degrees, as four characters."""
    turned = [np.rot90(drawings, turns, (1, 2)) for turns in range(4)]
    return np.concatenate(turned), np.concatenate([[f"{name}/{turns}" for name in characters] for turns in range(4)])


def bent(images, rng, degrees=15, shear=0.2, scale=0.15, shift=0.16, bend=0.08):
    """Each image turned, sheared, scaled, moved, and bent by a smooth random field."""
    count, height, width, _ = images.shape
    angle = np.radians(rng.uniform(-degrees, degrees, count))
    across, down = np.exp(rng.uniform(-scale, scale, (2, count)))
    matrix = np.empty((count, 2, 2))
    matrix[:, 0, 0], matrix[:, 0, 1] = down * np.cos(angle), -across * np.sin(angle) + rng.uniform(-shear, shear, count)
    matrix[:, 1, 0], matrix[:, 1, 1] = down * np.sin(angle), across * np.cos(angle)
    rows, columns = np.linspace(-1, 1, height), np.linspace(-1, 1, width)
    grid = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)
    points = np.einsum("nij,hwj->nhwi", matrix, grid) + rng.uniform(-shift, shift, (count, 1, 1, 2))
    knots = np.linspace(-1, 1, 5)
    along, over = (np.maximum(0, 1 - 2 * np.abs(axis[:, None] - knots)) for axis in (rows, columns))
    field = rng.normal(0, bend, (count, 5, 5, 2))
    points += np.einsum("ha,nabk,wb->nhwk", along, field, over, optimize=True)
    return sampled(images, (points + 1) / 2 * (height - 1, width - 1))


def sampled(images, points):
    """Images at points in pixels, `(images, height, width, 2)`, bilinearly; 0 beyond the border."""
    size = np.array(images.shape[1:3])
    inside = np.all((points > -1) & (points < size), axis=-1)
    points = np.where(inside[..., None], points, -1)
    corner = np.floor(points).astype(int)
    part = (points - corner).astype("float32")[..., None]
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    number = np.arange(len(images))[:, None, None]
    row, column = corner[..., 0] + 1, corner[..., 1] + 1
    below, right = row + 1, column + 1
    down, across = part[..., 0, :], part[..., 1, :]
    upper = padded[number, row, column] * (1 - across) + padded[number, row, right] * across
    lower = padded[number, below, column] * (1 - across) + padded[number, below, right] * across
    return upper * (1 - down) + lower * down


class Budget(keras.callbacks.Callback):
    """Ends a training after so many seconds of processor time, or steps; on the way the rate falls as a cosine."""

    def __init__(self, rate, seconds=math.inf, steps=math.inf):
        super().__init__()
        self.rate, self.seconds, self.most_steps, self.steps = rate, seconds, steps, 0

    def on_train_begin(self, logs=None):
        self.start = time.process_time()

    def on_train_batch_begin(self, batch, logs=None):
        done = min(self.done(), 1)
        self.model.optimizer.learning_rate.assign(self.rate * 0.5 * (1 + np.cos(np.pi * done)) + 1e-6)

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        self.model.stop_training = self.done() >= 1

    def done(self):
        """The part of the budget that is used, from 0."""
        return max(self.spent() / self.seconds, self.steps / self.most_steps)

    def spent(self):
        return time.process_time() - self.start


def small_resnet(filters=(32, 64, 128), size=28):
    return keras_blocks.Siamese(
        keras_blocks.ResNet,
        distance="cosine",
        embedding=128,
        normalize=True,
        include_top=False,
        groups=[{"filters": width, "blocks": 1} for width in filters],
        block="basic",
        stem="cifar",
        input_shape=(size, size, 1),
        batch_norm={"momentum": 0.9},
    )


def train_resnet(model, drawings, characters, seed, budget, classes=32):
    """Trains the shared network by the triplets in batches of four drawings of each of 32 characters."""
    sampler = keras_blocks.PKSampler(drawings, characters, classes, 4, seed=seed, augment=bent)
    model.embedding.compile(keras.optimizers.Adam(budget.rate), keras_blocks.TripletLoss(0.2), jit_compile=False)
    model.embedding.fit(sampler, epochs=1000, verbose=0, callbacks=[budget])


def train_koch(model, drawings, characters, seed, budget, batch_size=16):
    sampler = keras_blocks.PairSampler(drawings, characters, batch_size, seed=seed, augment=bent)
    model.compile(keras.optimizers.Adam(budget.rate), "binary_crossentropy", jit_compile=False)
    model.fit(sampler, epochs=1000, verbose=0, callbacks=[budget])


NETWORKS = {
    "resnet": (28, small_resnet, train_resnet, 2e-3),
    "koch": (105, lambda: keras_blocks.create_model("siamese_koch2015"), train_koch, 2e-4),
}
"""Name -> size of the drawings, what makes the model, what trains it, and the highest rate."""


def run(name, seed, seconds, rate=None):
    """Trains a network and tests it on the published runs."""
    size, make, train, usual = NETWORKS[name]
    drawings, characters = background(size)
    runs = published_runs(size)
    check_disjoint(drawings, characters, runs)
    keras.utils.set_random_seed(seed)
    model, budget, start = make(), Budget(rate or usual, seconds), time.time()
    train(model, *with_quarter_turns(drawings, characters), seed, budget)
    return {
        "network": name,
        "seed": seed,
        "accuracy": keras_blocks.one_shot_accuracy(model, runs),
        "steps": budget.steps,
        "processor_seconds": round(budget.spent()),
        "seconds": round(time.time() - start),
        "parameters": model.count_params(),
        "rate": budget.rate,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, default=100, help="seconds of processor time for each run")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rate", type=float, help="the highest learning rate")
    parser.add_argument("--results", type=pathlib.Path, default=RESULTS, help="JSON file; what it has is not run again")
    given = parser.parse_args()
    found = json.loads(given.results.read_text()) if given.results.exists() else {"budget": given.budget, "runs": []}
    if found["budget"] != given.budget:
        parser.error(f"{given.results} has runs of a budget of {found['budget']} s: give another file by --results")
    for name in given.networks:
        for seed in given.seeds:
            if not any((done["network"], done["seed"]) == (name, seed) for done in found["runs"]):
                found["runs"].append(run(name, seed, given.budget, given.rate))
                given.results.write_text(json.dumps(found, indent=1) + "\n")
                print(found["runs"][-1], flush=True)
    for name in given.networks:
        scores = [done["accuracy"] for done in found["runs"] if done["network"] == name]
        print(f"{name:8} mean of {len(scores)} seeds: {np.mean(scores):.1%} of 400 queries, 20 ways")


if __name__ == "__main__":
    main()
