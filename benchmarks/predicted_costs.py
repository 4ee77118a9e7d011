"""Memory and latency of random candidates of the search spaces, predicted before they are built, against what XLA
assigns and what they take.

    KERAS_BACKEND=jax python benchmarks/predicted_costs.py memory
    KERAS_BACKEND=tensorflow taskset -c 1 python benchmarks/predicted_costs.py latency
    KERAS_BACKEND=tensorflow taskset -c 1 python benchmarks/predicted_costs.py budget --candidates 1000

Candidates of all seven families, for 32x32 pixels in colour and 28x28 in grey, of at most 80 million multiply-adds.

memory: the training step of a candidate with its own optimizer and batch, without augmentation, and inference of one
image, lowered and compiled with no variable allocated; XLA's `memory_analysis` has no noise.

latency: the networks that predictions are made of, and the candidates, take turns in one process, in rounds. The
quickest run counts, on both sides. The clock's own noise is how far every other round is from the rest.

budget: candidates are drawn under `max_latency`: those that are predicted over it are not built, the others are
measured as a trial does. What was accepted is measured so again, in turns.

networks: draws that predictions are made of, into tuning/whole_networks.json. Of another seed than what is predicted.

Targets: training memory within 10 %; latency within 10 % for 90 %; of those accepted none over the budget by more than
the clock's noise. Results go into docs/predicted_costs.json.
"""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import random
import statistics
import time

import keras
import numpy as np
from scipy.optimize import nnls

import keras_blocks
from keras_blocks import tuning
from keras_blocks.core.graphs import unallocated_and_compiled
from keras_blocks.look.operations import operations_of
from keras_blocks.look.plan import plan_of
from keras_blocks.tuning import Budget, Candidate, layer_times, measuring
from keras_blocks.tuning.latency_model import LatencyModel, features
from keras_blocks.tuning.spaces.budget import inspected
from keras_blocks.tuning.spaces.families import FAMILIES
from keras_blocks.tuning.study.sources import RandomSource

RESULTS = pathlib.Path(__file__).parents[1] / "docs" / "predicted_costs.json"
SLOTS = {"adamw": 2, "sgd": 1}


def drawn(seed, most_macs=80e6):
    """Different candidates, the families in turn."""
    rng, seen = random.Random(seed), set()
    spaces = [cls(shape, classes=10) for shape in ((32, 32, 3), (28, 28, 1)) for _, cls in sorted(FAMILIES.items())]
    while True:
        for space in spaces:
            candidate = space.candidate(RandomSource(rng))
            signature = candidate.architecture_signature()
            if candidate.cost().macs <= most_macs and signature not in seen:
                seen.add(signature)
                yield candidate


def written(section, found):
    known = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    found["versions"] = {"keras": keras.__version__, "backend": keras.backend.backend()}
    RESULTS.write_text(json.dumps({**known, section: found}, indent=1) + "\n")


def off(ratios):
    """How far predictions are from what was found."""
    apart = sorted(abs(one - 1) for one in ratios)
    return {
        "within_10_percent": round(sum(one < 0.1 for one in apart) / len(apart), 3),
        "median_off": round(statistics.median(apart), 4),
        "off_for_9_of_10": round(apart[int(0.9 * (len(apart) - 1))], 4),
        "lowest": round(min(ratios), 3),
        "highest": round(max(ratios), 3),
    }


def xla_bytes(candidate, batch):
    """(inference of one image, a step of training) as XLA assigns it: arguments, outputs and what is in between."""
    import jax

    how = {**candidate.hyperparameters, "augmentation": "none"}
    with unallocated_and_compiled():
        model = Candidate(candidate.architecture, candidate.metaparameters, how).compiled()
    state = [
        [jax.ShapeDtypeStruct(tuple(one.shape), one.dtype) for one in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables, model.optimizer.variables)
    ]

    def loss(trainable, other, images, labels):
        scores, other = model.stateless_call(trainable, other, images, training=True)
        return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(labels, scores)), other

    def step(state, images, labels):
        trainable, other, slots = state
        (value, other), gradients = jax.value_and_grad(loss, has_aux=True)(trainable, other, images, labels)
        trainable, slots = model.optimizer.stateless_apply(slots, gradients, trainable)
        return value, (trainable, other, slots)

    def predict(trainable, other, images):
        return model.stateless_call(trainable, other, images, training=False)[0]

    def images(count):
        return jax.ShapeDtypeStruct((count, *model.input_shape[1:]), "float32")

    labels = jax.ShapeDtypeStruct((batch,), "int32")
    programs = (
        jax.jit(predict).lower(*state[:2], images(1)),
        jax.jit(step, donate_argnums=0).lower(state, images(batch), labels),
    )
    found = [program.compile().memory_analysis() for program in programs]
    keras.utils.clear_session()
    jax.clear_caches()
    return [
        one.temp_size_in_bytes + one.argument_size_in_bytes + one.output_size_in_bytes - one.alias_size_in_bytes
        for one in found
    ]


def memory(options):
    rows, candidates = [], drawn(options.seed)
    until = time.time() + options.minutes * 60
    while len(rows) < options.candidates and time.time() < until:
        candidate = next(candidates)
        how = candidate.hyperparameters
        cls, batch = candidate.architecture_class, how["batch_size"]
        told = keras_blocks.memory(cls, batch_size=batch, slots=SLOTS[how["optimizer"]], **candidate.metaparameters)
        one = keras_blocks.memory(cls, **candidate.metaparameters)
        inference, training = xla_bytes(candidate, batch)
        rows.append([cls.__name__, told.training, training, one.inference, inference])
        ratios = [[row[at] / row[at + 1] for row in rows] for at in (1, 3)]
        families = collections.defaultdict(list)
        for row, ratio in zip(rows, ratios[0]):
            families[row[0]].append(ratio)
        found = {
            "candidates": len(rows),
            "training": off(ratios[0]),
            "inference": off(ratios[1]),
            "training_by_family": {name: off(each) for name, each in sorted(families.items())},
            "rows": rows,
        }
        written("memory", found)
        print(len(rows), cls.__name__, round(ratios[0][-1], 3), round(ratios[1][-1], 3), flush=True)


@contextlib.contextmanager
def quiet():
    """Nothing else should run meanwhile."""
    print("timing", flush=True)
    yield
    print("timed", flush=True)


def noise(seconds):
    """How far every other round is from the rest, for each model."""
    each = [min(one[::2]) / min(one[1::2]) - 1 for one in seconds]
    return np.abs(each)


def latencies(options):
    names = [*layer_times.NETWORKS, *layer_times.WHOLE]
    known = {json.dumps([cls.__name__, how], sort_keys=True) for cls, how in layer_times.WHOLE.values()}
    candidates = [one for one, _ in zip(drawn(options.seed), range(options.candidates))]
    for one in candidates:
        assert json.dumps([one.architecture_class.__name__, one.metaparameters], sort_keys=True) not in known
    models = [layer_times.network(name) for name in names] + [one.compiled() for one in candidates]
    loads = [os.getloadavg()[0]]
    layer_times.timed(models, 1)  # and traced
    with quiet():
        rounds = layer_times.timed(models, options.rounds)
    loads.append(os.getloadavg()[0])
    taken, apart = np.array([*map(min, rounds)]), noise(rounds)
    layers = [features(layer_times.operations(name)) for name in names]
    theirs = [features(operations_of(plan_of(one.architecture_class, **one.metaparameters))) for one in candidates]
    found, short = taken[len(names) :], len(layer_times.NETWORKS)
    whole = [keras_blocks.cost(cls, **how) for cls, how in layer_times.WHOLE.values()]
    line = np.array([[1.0, one.macs, one.activation_bytes] for one in whole])
    weights = nnls(line / taken[short : len(names), None], np.ones(len(whole)))[0]
    costs = [one.cost() for one in candidates]
    model = LatencyModel(layers, taken[: len(names)])
    guesses = np.array([model.predicted(each) for each in theirs])
    alone = LatencyModel(layers[:short], taken[:short])
    ratios = {
        "layers": guesses / found,
        "without_whole_networks": np.array([alone.predicted(each) for each in theirs]) / found,
        "line_through_macs_and_bytes": np.array([[1.0, one.macs, one.activation_bytes] for one in costs])
        @ weights
        / found,
    }
    families = collections.defaultdict(list)
    for one, ratio in zip(candidates, ratios["layers"]):
        families[one.architecture_class.__name__].append(float(ratio))
    result = {
        "candidates": len(candidates),
        "networks": [short, len(whole)],
        "rounds": options.rounds,
        "cores": len(os.sched_getaffinity(0)),
        "load": loads,
        "noise": {"median": round(float(np.median(apart)), 4), "of_9_in_10": round(float(np.quantile(apart, 0.9)), 4)},
        "milliseconds": [round(1e3 * float(at(found)), 3) for at in (np.min, np.median, np.max)],
        **{name: off([float(one) for one in each]) for name, each in ratios.items()},
        "by_family": {name: off(each) for name, each in sorted(families.items())},
        "rows": [
            [one.architecture_class.__name__, round(float(guess), 6), round(float(took), 6)]
            for one, guess, took in zip(candidates, guesses, found)
        ],
    }
    written(f"latency_{keras.backend.backend()}", result)
    print(json.dumps({name: value for name, value in result.items() if name != "rows"}, indent=1))


def measured(model):
    return measuring.measure(model, model.input_shape[1:])


def budget(options):
    layer_times.make_known(print)
    limit = Budget(max_latency=options.seconds)
    until, refused, slow, accepted = time.time() + options.minutes * 60, 0, 0, []
    for candidate, _ in zip(drawn(options.seed + 1), range(options.candidates)):
        if time.time() > until:
            break
        if "refused" in inspected(candidate, limit):
            refused += 1
            continue
        model = candidate.compiled()
        if measured(model) > options.seconds:
            slow += 1
        else:
            accepted.append(model)
    if not accepted:
        raise SystemExit(f"none of those drawn takes less than {options.seconds} seconds")
    with quiet():
        found = [[measured(model) for model in accepted] for _ in range(max(2, options.rounds // 10))]
    rounds = list(zip(*found))
    most = float(np.quantile(noise(rounds), 0.9))
    over = {how.__name__: np.array([*map(how, rounds)]) / options.seconds - 1 for how in (min, statistics.median)}
    result = {
        "seconds": options.seconds,
        "drawn": refused + slow + len(accepted),
        "refused_unbuilt": refused,
        "built_and_too_slow": slow,
        "accepted": len(accepted),
        "noise_of_9_in_10": round(most, 4),
        "over_by_more_than_the_noise": {name: int((each > most).sum()) for name, each in over.items()},
        "most_over": {name: round(float(each.max()), 4) for name, each in over.items()},
        "single_measures_over_by_more": round(float((np.array(rounds) / options.seconds - 1 > most).mean()), 4),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
    }
    written(f"budget_{keras.backend.backend()}", result)
    print(json.dumps(result, indent=1))


def networks(options):
    path = pathlib.Path(tuning.__file__).with_name("whole_networks.json")
    rows = [[one.architecture_class.__name__, one.metaparameters] for one, _ in zip(drawn(7), range(100))]
    path.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("memory", "latency", "budget", "networks"))
    parser.add_argument("--candidates", type=int, default=200, help="that are drawn")
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--rounds", type=int, default=layer_times.ROUNDS)
    parser.add_argument("--minutes", type=float, default=60, help="after which no more are drawn")
    parser.add_argument("--seconds", type=float, default=0.0015, help="the budget")
    options = parser.parse_args()
    {"memory": memory, "latency": latencies, "budget": budget, "networks": networks}[options.what](options)
