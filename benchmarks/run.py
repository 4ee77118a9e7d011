"""The speed of the networks in contestants.py, one of each architecture at least, by one command: construction,
inference of 1 and 8 images, a training step of 8, its memory, saving and loading, `deploy`, and exported files in their
runtimes; against keras.applications, and torchvision where it is installed, in turn in one process, medians.

    KERAS_BACKEND=tensorflow python benchmarks/run.py                     # all networks: hours on two cores
    KERAS_BACKEND=torch python benchmarks/run.py resnet50 --cpu-time --threads 1 --rounds 3
    KERAS_BACKEND=torch python benchmarks/run.py resnet50 --measures training inference --size 96

What comes out is compared with the ratios that docs/speed.json keeps: one that is worse by more than a tenth is shown,
and the command ends with status 1, as it does for a measure that fails. `--keep` writes the new ones there, and makes
the table in docs/benchmarks.md and docs/speed.png of all that is kept; `--draw` makes these two alone. On a machine
that others use, too, `--cpu-time --threads 1` counts the processor's seconds. TensorFlow 2.21 and torchvision 0.29.1 in
one process crash: TensorFlow's and JAX's are measured without torchvision.

Ratios are ours over theirs, of `deploy(model)` and exported files over the model: below 1 is faster. Ours are built
with the others' initializers where construction is timed. What nobody else has is measured alone; a format that a
network has no file of is said, and is no failure.
"""

import argparse
import gc
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from timing import interleaved, machine, memory, use_threads

DOCS = pathlib.Path(__file__).parents[1] / "docs"
KEPT, PICTURE, PAGE = DOCS / "speed.json", DOCS / "speed.png", DOCS / "benchmarks.md"
BEGIN, END = "<!-- speed -->\n", "<!-- /speed -->\n"
MEASURES = ("construction", "inference", "training", "memory", "files", "deploy", "exports")
WORSE = 1.1
"""Times a kept ratio that a new one may be."""


def construction(name, arguments):
    from contestants import contestants

    made = contestants(name, arguments.size, 1, alike=True)
    made.pop("torchvision", None)  # which draws no weights of a distribution that Keras has
    return {"construction": interleaved(made, arguments.rounds, arguments.clock)}


def inference(name, arguments):
    from network_inputs import inputs_of

    made, found = _made(name, arguments), {}
    for batch in arguments.batches:
        inputs = inputs_of(name, batch, arguments.size)
        functions = {who: (lambda one=one, inputs=inputs: one.predict(inputs)) for who, one in made.items()}
        found[f"inference of {batch}"] = interleaved(functions, arguments.rounds, arguments.clock)
    return found


def training(name, arguments):
    made = _made(name, arguments)
    steps = {who: one.train for who, one in made.items()}
    return {f"training of {arguments.batches[-1]}": interleaved(steps, arguments.rounds, arguments.clock)}


def peak_memory(name, arguments):
    """MB, each in a process of its own."""
    from contestants import contestants

    found = {}
    for who in contestants(name, arguments.size, 1):
        command = [sys.executable, __file__, name, "--peak", who, "--size", str(arguments.size)]
        command += ["--batches", str(arguments.batches[-1]), "--threads", str(arguments.threads)]
        found[who] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
    return {f"memory of training of {arguments.batches[-1]}": found}


def peak(name, arguments):
    """MB that two training steps take over the process with its libraries and the images."""
    import keras
    import numpy as np
    from contestants import contestants

    make = contestants(name, arguments.size, arguments.batches[-1])[arguments.peak]
    keras.ops.convert_to_tensor(np.zeros(1))  # the backend is started
    idle = memory("VmRSS")
    one = make()
    one.train()
    one.train()
    return memory("VmHWM") - idle


def files(name, arguments):
    """Saving to and loading from a .keras file."""
    import keras

    models = {who: one.model for who, one in _made(name, arguments, training=False).items() if one.model is not None}
    with tempfile.TemporaryDirectory() as folder:
        paths = {who: os.path.join(folder, f"{who}.keras") for who in models}
        saving = {who: (lambda who=who: models[who].save(paths[who])) for who in models}
        loading = {who: (lambda who=who: keras.saving.load_model(paths[who])) for who in models}
        return {
            "saving": interleaved(saving, arguments.rounds, arguments.clock),
            "loading": interleaved(loading, arguments.rounds, arguments.clock),
        }


def deployed(name, arguments):
    from contestants import served
    from network_inputs import inputs_of

    import keras_blocks

    model = _ours(name, arguments).model
    functions, found = {"model": served(model), "deploy": served(keras_blocks.deploy(model))}, {}
    for batch in arguments.batches:
        inputs = inputs_of(name, batch, arguments.size)
        runs = {who: (lambda run=run, inputs=inputs: run(inputs)) for who, run in functions.items()}
        found[f"deploy, {batch}"] = interleaved(runs, arguments.rounds, arguments.clock)
    return found


def exports(name, arguments):
    """One image in each runtime, in as many threads as the model has; which formats cannot be, is said."""
    import keras
    from contestants import served
    from network_inputs import inputs_of
    from runtime_sessions import session

    import keras_blocks
    from keras_blocks.deploy.runtimes import RUNTIMES, WRITTEN_BY

    model, two = _ours(name, arguments).model, inputs_of(name, 2, arguments.size)
    inputs, run = keras.tree.map_structure(lambda array: array[:1], two), served(model)
    functions = {"model": lambda: run(inputs)}
    with tempfile.TemporaryDirectory() as folder:
        for format, writers in WRITTEN_BY.items():
            if keras.backend.backend() in writers:
                path = os.path.join(folder, f"model{RUNTIMES[format].suffix}")
                try:
                    keras_blocks.export(model, path, format, inputs=two)
                except (ImportError, TypeError, ValueError) as error:
                    print(f"{name} has no file of format '{format}': {error}", flush=True)
                    continue
                functions[format] = session(path, format, inputs, arguments.threads)
        return {"exported, 1": interleaved(functions, arguments.rounds, arguments.clock, ahead=2)}


DOES = dict(zip(MEASURES, (construction, inference, training, peak_memory, files, deployed, exports), strict=True))


def _made(name, arguments, training=True):
    """The contestants, made once for what is measured of them."""
    key = (name, arguments.size)
    if _made.__dict__.get("key") != key:
        from contestants import contestants

        batch = arguments.batches[-1]
        _made.key, _made.all = key, {who: make() for who, make in contestants(name, arguments.size, batch).items()}
    return _made.all


def _ours(name, arguments):
    return _made(name, arguments)["ours"]


def ratios(seconds):
    """Over whom -> ours over theirs, or what was made of the model over the model."""
    if "model" in seconds:
        return {who: value / seconds["model"] for who, value in seconds.items() if who != "model"}
    return {who: seconds["ours"] / value for who, value in seconds.items() if who != "ours"}


def worse(name, measure, found, kept):
    """Prints what is worse than it was; how many ratios. A network that nobody else has is compared with itself on the
    same machine, which is shown alone, as others' work changes it."""
    before, count = kept.get(measure, {}), 0
    for who, ratio in found["ratios"].items():
        once = before.get("ratios", {}).get(who)
        if once is not None and ratio > WORSE * once:
            print(f"WORSE: {name}, {measure} over {who}: {ratio:.2f}, and {once:.2f} is kept in {KEPT.name}")
            count += 1
    if before and not found["ratios"] and _counted(found["how"]) == _counted(before["how"]):
        unit = next(unit for unit in ("ms", "MB") if unit in found)
        now, once = found[unit]["ours"], before[unit]["ours"]
        if now > WORSE * once:
            print(f"perhaps worse: {name}, {measure}: {now} {unit}, and {once} is kept in {KEPT.name}")
    return count


def _counted(how):
    return how["machine"]["processor"], how["threads"], how["cpu_time"]


def measured(arguments):
    import keras
    from network_inputs import size_of

    backend, begin = keras.backend.backend(), time.monotonic()
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    there, count = kept.setdefault(backend, {}), 0
    own_size = arguments.size
    how = {name: getattr(arguments, name) for name in ("rounds", "threads", "cpu_time")}
    how |= {"machine": machine(), "keras": keras.__version__, backend: _version(backend)}
    for name in arguments.networks:
        arguments.size = own_size or size_of(name)
        place = f"{name}, {arguments.size}"
        for measure in arguments.measures:
            if time.monotonic() - begin > arguments.seconds:
                print(f"the time is over: {measure} of {name} and what comes behind it are left")
                return kept, count
            try:
                found = DOES[measure](name, arguments)
            except Exception as error:
                print(f"{place:28} {measure}: {type(error).__name__}: {str(error)[:300]}", flush=True)
                count += 1
                continue
            for what, seconds in found.items():
                unit, factor = ("MB", 1) if what.startswith("memory") else ("ms", 1000)
                figures = {who: round(factor * value, 1) for who, value in seconds.items()}
                over = {who: round(value, 3) for who, value in ratios(seconds).items()}
                print(f"{place:28} {what:24} {unit} {figures} ratios {over}", flush=True)
                result = {unit: figures, "ratios": over, "how": how}
                count += worse(name, what, result, there.get(place, {}))
                there.setdefault(place, {})[what] = result
                if arguments.keep:
                    KEPT.write_text(json.dumps(kept, indent=1) + "\n")
        _made.__dict__.clear()
        keras.utils.clear_session()
        gc.collect()
    return kept, count


def _version(backend):
    return getattr(sys.modules.get(backend), "__version__", "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help="all of contestants.NETWORKS by default")
    parser.add_argument("--measures", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--size", type=int, help="of the images; by default the networks' own")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8], help="images at once; the last in training")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--cpu-time", action="store_true", help="the processor's seconds, not the clock's")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="nothing is begun later")
    parser.add_argument("--keep", action="store_true", help="the new ratios, in docs")
    parser.add_argument("--draw", action="store_true", help="nothing is measured")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.clock = time.process_time if arguments.cpu_time else time.perf_counter
    use_threads(arguments.threads)
    if arguments.peak:
        print(peak(*arguments.networks, arguments))
        return 0
    count = 0
    if not arguments.draw:
        from contestants import NETWORKS

        arguments.networks = arguments.networks or list(NETWORKS)
        _, count = measured(arguments)
    if arguments.keep or arguments.draw:
        from speed_picture import draw, table

        kept = json.loads(KEPT.read_text())
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(before + BEGIN + table(kept) + END + rest.partition(END)[2])
        draw(kept, PICTURE)
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
