"""The pretrained CIFAR ResNet-56 at half its multiply-adds, after 5 epochs of fine-tuning on 4,000 images.

Arms: "jacobian", pruned in two steps by how much its outputs change, its layers fitted again to the images after
each; "uniform", pruned at once of random channels of every layer, and fitted likewise; "scratch", the widths of
"jacobian" with new weights. Each is then trained for five epochs, with the whole network's logits as answers. A run is
one arm with one seed; what is done lies in docs/pruning.json and is not done again:

    KERAS_BACKEND=torch python benchmarks/pruning.py --arms jacobian scratch uniform --seeds 0 1 2

Target: "jacobian" has at most 1 point less than the 92.6 % of the whole network on the 1,000 test images.
"""

import argparse
import json
import math
import pathlib
import statistics
import tempfile
import time

import keras
import numpy as np
from cifar_training import DATA, augmented
from PIL import Image

import keras_blocks

WEIGHTS = DATA.parent / "weights" / "resnet56_cifar10.npz"
RESULTS = pathlib.Path(__file__).parents[1] / "docs" / "pruning.json"
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
SOFTER = 4.0
"""By which logits are divided where one network learns from another (Hinton, Vinyals and Dean, 2015)."""
RATES = {"jacobian": 0.001, "uniform": 0.01, "scratch": 0.1}
"""What is nearly as good as the whole is only spoiled by more; its normalizations keep their statistics."""
FITTED = 4000
"""Images that layers are fitted to."""


def load():
    """Training and test images, normalized as those that the weights were trained on, and their labels."""
    images = [
        np.asarray(Image.open(DATA / f"{name}.png").convert("RGB"))
        for name in [*map("train_{}".format, range(4)), "test_0"]
    ]
    images = [((each.reshape(-1, 32, 32, 3) / 255 - MEAN) / STD).astype("float32") for each in images]
    train, test = np.concatenate(images[:-1]), images[-1]
    with np.load(DATA / "labels.npz") as labels:
        return train, labels["train"][: len(train)], test, labels["test"][: len(test)]


def uniform(seed):
    """Random scores, the same for what additions bind together: ResNets of CIFAR pad with zeros on both sides."""
    bound = np.random.default_rng([seed, 0]).uniform(size=64)

    def score(layer, kernel):
        width = kernel.shape[-1]
        if "conv1" in layer.name:
            return np.random.default_rng([seed, *layer.name.encode()]).uniform(size=width)
        return bound[32 - width // 2 : 32 + width // 2]

    return score


def pruned(model, arm, seed, train):
    """The model with half of its multiply-adds."""
    chosen = train[np.random.default_rng(seed).permutation(len(train))[:FITTED]]
    if arm == "uniform":
        return keras_blocks.prune(model, 0.5, by=uniform(seed), reconstruct=chosen)
    return keras_blocks.prune(model, 0.5, by="jacobian", data=chosen[:1024], reconstruct=chosen, steps=2)


def accuracy(model, images, labels):
    return 100 * float((model.predict(images, batch_size=100, verbose=0).argmax(1) == labels).mean())


def distilled(answers, logits):
    """The cross-entropy to the whole network's answers, both softened."""
    soft = keras.ops.softmax(answers / SOFTER)
    return SOFTER**2 * keras.losses.categorical_crossentropy(soft, logits / SOFTER, from_logits=True)


def fit(model, whole, data, epochs, rate, seed, batch=64):
    """SGD with momentum; a warm-up of a tenth, then a cosine to zero; crops and mirrored images.

    What is learned are the whole network's logits: of 4,000 images the labels say too little, where it saw 50,000.
    """
    train, *_ = data
    rng = np.random.default_rng(seed)
    steps = epochs * math.ceil(len(train) / batch)
    schedule = keras.optimizers.schedules.CosineDecay(
        rate / 10, steps - steps // 10, warmup_target=rate, warmup_steps=steps // 10
    )
    model.compile(
        keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True, weight_decay=5e-4, global_clipnorm=5.0),
        distilled,
    )
    for epoch in range(epochs):
        start = time.time()
        images = augmented(train, rng)
        answers = whole.predict(images, batch_size=200, verbose=0)
        loss = model.fit(images, answers, batch, verbose=0).history["loss"][-1]
        print(f"  epoch {epoch + 1}: loss {loss:.3f}, {time.time() - start:.0f} s", flush=True)


def run(arm, seed, data, epochs):
    """One training; the network that "jacobian" ends with is kept for "scratch", which else prunes again."""
    keras.utils.set_random_seed(seed)
    train, _, test, answers = data
    whole = keras_blocks.create_model("resnet56_cifar", weights=WEIGHTS, classifier_activation=None)
    kept = pathlib.Path(tempfile.gettempdir()) / f"pruned_by_jacobian_{seed}_{epochs}.keras"
    start = time.time()
    if arm == "scratch":
        like = keras.saving.load_model(kept, compile=False) if kept.exists() else pruned(whole, "jacobian", seed, train)
        model = keras.models.clone_model(like)
        model.trainable = True
    else:
        model = pruned(whole, arm, seed, train)
    before = accuracy(model, test, answers)
    print(f"{arm}, seed {seed}: {before:.1f} % before training, {time.time() - start:.0f} s", flush=True)
    for layer in model.layers if arm == "jacobian" else ():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    fit(model, whole, data, epochs, RATES[arm], seed)
    after = accuracy(model, test, answers)
    print(f"{arm}, seed {seed}: {after:.1f} % after {epochs} epochs", flush=True)
    if arm == "jacobian":
        model.save(kept)
    shares = [round(mine / theirs, 4) for mine, theirs in zip(keras_blocks.cost(model), keras_blocks.cost(whole))]
    counts = {"parameters": shares[0], "macs": shares[1], "seconds": round(time.time() - start)}
    measured = {"before_training": round(before, 1), "after_training": round(after, 1)}
    return {"arm": arm, "seed": seed, "epochs": epochs, **measured, **counts}


def table(runs):
    rows = ["| arm | before training | after | seeds | parameters left |", "|---|---|---|---|---|"]
    for arm in sorted({one["arm"] for one in runs}):
        own = [one for one in runs if one["arm"] == arm]
        means = [
            statistics.mean(one[key] for one in own) for key in ("before_training", "after_training", "parameters")
        ]
        each = ", ".join(f"{one['after_training']:.1f}" for one in own)
        rows.append(f"| {arm} | {means[0]:.1f} | {means[1]:.1f} ({each}) | {len(own)} | {means[2]:.0%} |")
    return "\n".join(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="+", default=["jacobian", "scratch", "uniform"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    data = load()
    for seed in options.seeds:
        for arm in options.arms:
            done = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
            if not any((one["arm"], one["seed"], one["epochs"]) == (arm, seed, options.epochs) for one in done):
                done.append(run(arm, seed, data, options.epochs))
                RESULTS.write_text(json.dumps(done, indent=1) + "\n")
    print(table(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
