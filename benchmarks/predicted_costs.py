"""Memory and latency of random candidates of the search spaces, predicted before they are built, against what XLA
assigns and what they take.

    KERAS_BACKEND=jax python benchmarks/predicted_costs.py memory
    KERAS_BACKEND=tensorflow taskset -c 1 python benchmarks/predicted_costs.py latency
    KERAS_BACKEND=tensorflow taskset -c 1 python benchmarks/predicted_costs.py budget --seconds 0.004

Candidates of all seven families, for 32x32 pixels in colour and 28x28 in grey, of at most 80 million multiply-adds.

memory: the training step of a candidate with its own optimizer and batch, without augmentation, and inference of one
image, lowered and compiled with no variable allocated; XLA's `memory_analysis` has no noise.

latency: the networks that predictions are made of, and the candidates, take turns in one process; each round's times
are divided by how much slower all were in it, and the median over the rounds counts. By default the processor's time,
on one core: on a machine with other work the clock's says how busy it was. The clock's own noise is how far the first
half of the rounds is from the second.

budget: candidates are drawn under `max_latency` until so many are accepted: those that are predicted over it are not
built, the others are measured as a trial does. What was accepted is measured again, in turns.

Targets: training memory within 10 %; latency within 10 % for 90 %; of those accepted none over the budget by more than
the clock's noise. Results go into docs/predicted_costs.json.
"""

import argparse
import collections
import gc
import json
import os
import pathlib
import random
import statistics
import time

import keras
import numpy as np

import keras_blocks
from keras_blocks.core.graphs import unallocated_and_compiled
from keras_blocks.look.operations import operations_of
from keras_blocks.look.plan import plan_of
from keras_blocks.tuning import Budget, Candidate, latency, layer_times
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


def evened(seconds):
    """The median over the rounds of each model's quickest run, without what slowed all down in a round."""
    each = np.array(seconds).reshape(len(seconds), -1, layer_times.RUNS).min(2)
    each /= np.median(each / np.median(each, 1, keepdims=True), 0)
    half = each.shape[1] // 2
    apart = np.abs(np.median(each[:, :half], 1) / np.median(each[:, half:], 1) - 1)
    return np.median(each, 1), apart


def latencies(options):
    clock = time.perf_counter if options.clock == "wall" else time.process_time
    names = [*layer_times.NETWORKS, *layer_times.WHOLE]
    candidates = [one for one, _ in zip(drawn(options.seed), range(options.candidates))]
    models = [layer_times.network(name) for name in names] + [one.compiled() for one in candidates]
    loads = [os.getloadavg()[0]]
    seconds = layer_times.timed(models, rounds=options.rounds, clock=clock)
    taken, apart = evened(seconds)
    loads.append(os.getloadavg()[0])
    times = dict(zip(names, map(float, taken)))
    layers = {name: features(layer_times.operations(name)) for name in names}
    theirs = [features(operations_of(plan_of(one.architecture_class, **one.metaparameters))) for one in candidates]
    short = [layers[name] for name in layer_times.NETWORKS], [times[name] for name in layer_times.NETWORKS]
    whole = [(layers[name], times[name]) for name in layer_times.WHOLE]
    model = LatencyModel(*short, whole)
    told = [model.predicted(each) for each in theirs]
    plain = LatencyModel(*short, whole, spread=0.0)
    costs = [one.cost() for one in candidates]
    table = np.array([[1.0, one.macs, one.activation_bytes] for one in costs])
    of_whole = [keras_blocks.cost(cls, **how) for cls, how in layer_times.WHOLE.values()]
    line = np.array([[1.0, one.macs, one.activation_bytes] for one in of_whole])
    from scipy.optimize import nnls

    weights = nnls(line / np.array([[took] for _, took in whole]), np.ones(len(whole)))[0]
    found = taken[len(names) :]
    ratios = {
        "layers_and_processes": np.array(told) / found,
        "layers_alone": np.array([plain.predicted(each) for each in theirs]) / found,
        "without_whole_networks": np.array([LatencyModel(*short).predicted(each) for each in theirs]) / found,
        "line_through_macs_and_bytes": table @ weights / found,
    }
    families = collections.defaultdict(list)
    for one, ratio in zip(candidates, ratios["layers_and_processes"]):
        families[one.architecture_class.__name__].append(float(ratio))
    result = {
        "candidates": len(candidates),
        "rounds": options.rounds,
        "clock": options.clock,
        "load": loads,
        "noise": {"median": round(float(np.median(apart)), 4), "of_9_in_10": round(float(np.quantile(apart, 0.9)), 4)},
        "milliseconds": [round(1e3 * float(at(found)), 3) for at in (np.min, np.median, np.max)],
        **{name: off([float(one) for one in each]) for name, each in ratios.items()},
        "by_family": {name: off(each) for name, each in sorted(families.items())},
        "rows": [
            [one.architecture_class.__name__, round(guess, 6), round(float(took), 6)]
            for one, guess, took in zip(candidates, told, found)
        ],
    }
    written("latency", result)
    print(json.dumps({name: value for name, value in result.items() if name != "rows"}, indent=1))


def budget(options):
    limit = Budget(max_latency=options.seconds)
    until, refused, slow, accepted = time.time() + options.minutes * 60, 0, 0, []
    for candidate in drawn(options.seed + 1):
        if len(accepted) >= options.candidates or time.time() > until:
            break
        if "refused" in inspected(candidate, limit):
            refused += 1
            continue
        model = candidate.compiled()
        first = latency.measure(model, model.input_shape[1:])
        if first > options.seconds:
            slow += 1
        else:
            accepted.append((model, first))
    gc.collect()
    taken, apart = evened(layer_times.timed([model for model, _ in accepted], rounds=options.rounds))
    over = [float(took / options.seconds - 1) for took in taken]
    noise = float(np.quantile(apart, 0.9))
    result = {
        "seconds": options.seconds,
        "refused_unbuilt": refused,
        "built_and_too_slow": slow,
        "accepted": len(accepted),
        "noise_of_9_in_10": round(noise, 4),
        "over_by_more_than_the_noise": sum(one > noise for one in over),
        "most_over": round(max(over), 4),
        "load": os.getloadavg()[0],
    }
    written("budget", result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("memory", "latency", "budget"))
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=60, help="after which no more are drawn")
    parser.add_argument("--clock", choices=("processor", "wall"), default="processor")
    parser.add_argument("--seconds", type=float, default=0.004, help="the budget")
    options = parser.parse_args()
    {"memory": memory, "latency": latencies, "budget": budget}[options.what](options)
