"""The HTML report: what is on it, whatever the trials are, and that nothing in them becomes code."""

import base64
import dataclasses
import hashlib
import html.parser
import json
import re

import keras_tuner
import optuna
import pytest

import keras_blocks
from keras_blocks.tuning.objectives import OBJECTIVES, Objective, front, ranking
from keras_blocks.tuning.report import figures
from keras_blocks.tuning.report.html_report import write_report, write_training_report
from keras_blocks.tuning.report.parallel import parallel
from keras_blocks.tuning.storage.trial import Trial
from keras_blocks.tuning.study.importances import TooFewTrials, importances
from keras_blocks.tuning.user_spaces.keras_tuner_space import KerasTunerSpace

ACCURACY = [OBJECTIVES["val_accuracy"]]
TWO = [*ACCURACY, OBJECTIVES["macs"]]
VOID = {"meta", "link", "input", "br", "img"}


class Page(html.parser.HTMLParser):
    """Elements with their attributes; texts by the id of the section that they are in; complains of wrong nesting."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.sections, self.scripts, self.text = [], {}, [], []
        self._open, self._section = [], None
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.elements.append((tag, attrs))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "section":
            self._section = attrs["id"]
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag
        if tag == "section":
            self._section = None

    def handle_data(self, data):
        if self._open and self._open[-1] == "script":
            self.scripts[-1] += data
        elif self._open and self._open[-1] != "style":
            self.text.append(data)
            self.sections.setdefault(self._section, []).append(data)

    def section(self, name):
        return " ".join(" ".join(self.sections[name]).split())

    def all(self, tag, **attributes):
        return [
            attrs
            for name, attrs in self.elements
            if name == tag and all(attrs.get(key) == value for key, value in attributes.items())
        ]

    @property
    def figures(self):
        return json.loads(self.scripts[0])


GROUPS = [{"filters": [8, 8]}, {"filters": [16]}]


def trial(number, accuracy=None, **changes):
    """A completed trial, or of another status where there is no accuracy."""
    metaparameters = {"groups": GROUPS, "bypass": "simple" if number % 2 else None, "stem": "tiny"}
    done = {} if accuracy is None else {"objectives": (accuracy,), "val_accuracy": accuracy, "val_loss": 1 - accuracy}
    made = Trial(
        number,
        "failed" if accuracy is None else "completed",
        {"filters": 8 * (1 + number % 3), "rate": 10 ** -(1 + number % 4), "bypass": number % 2 == 1},
        "SqueezeNet",
        {**metaparameters, "input_shape": (8, 8, 1), "classes": 10},
        {"optimizer": "adamw", "learning_rate": 0.001},
        params=1000 + 100 * number,
        macs=50_000 - 1000 * number,
        epochs=3,
        seconds=4.5,
        curves={} if accuracy is None else {"val_accuracy": [accuracy / 2, accuracy], "val_loss": [1.0, 0.5]},
        **done,
    )
    return dataclasses.replace(made, **changes)


MIXED = [
    trial(0, 0.5),
    trial(1, 0.9),
    trial(2, error="OutOfMemory: killed in epoch 2"),
    trial(3, error="OutOfMemory: killed in epoch 3"),
    trial(4, status="pruned", curves={"val_accuracy": [0.2]}, epochs=1),
    trial(5, status="running"),
    trial(6, status="waiting"),
    trial(7, status="refused", error="5,000 parameters are more than 1,000", epochs=0, seconds=0.0),
    trial(8, status="duplicate", duplicate_of=1, epochs=0, seconds=0.0),
]


def report(trials, objectives, tmp_path, **options):
    return Page(write_report(trials, objectives, tmp_path / "report.html", **{"title": "A search", **options}))


def test_the_page_tells_what_the_search_found(tmp_path):
    page = report(MIXED, ACCURACY, tmp_path, notes={"max_params": 20_000, "versions": {"keras": "3.15"}, "seed": None})
    cards = page.section(None)
    assert "highest validation accuracy 90.00 % trial 1, SqueezeNet" in cards
    assert "trials completed 2 of 7" in cards  # what is refused or repeats another was never to be trained
    assert "2 failed, 1 pruned" in cards.replace("1 pruned, 2 failed", "2 failed, 1 pruned")
    outcomes = page.section("outcomes")
    assert "failed 2 such as: OutOfMemory: killed in epoch 3 2, 3" in outcomes
    assert "refused 1 5,000 parameters are more than 1,000 7" in outcomes
    assert "the same as trial 1" in page.section("trials")
    assert "max_params 20,000 versions: keras 3.15 seed -" in page.section("settings")
    assert len(page.all("tr", **{"data-status": "failed"})) == 2
    assert [row["id"] for row in page.all("tr", **{"class": "best"})] == ["trial-1"]


def test_addresses_are_links_and_nothing_else_is(tmp_path):
    notes = {"logged besides": "http://host:5000/#/experiments/1", "other": "javascript:alert(1)", "last": '"><b>'}
    page = report(MIXED, ACCURACY, tmp_path, notes=notes)
    links = [link["href"] for link in page.all("a") if not link["href"].startswith("#")]
    assert links == ["http://host:5000/#/experiments/1"]


def test_the_best_architectures_blocks_are_counted(tmp_path):
    text = report(MIXED, ACCURACY, tmp_path).section("best")
    spent = keras_blocks.cost(keras_blocks.SqueezeNet, **MIXED[1].metaparameters)
    assert f"all {spent.params:,} {spent.macs:,}" in text
    model = keras_blocks.SqueezeNet(**MIXED[1].metaparameters)
    for block in model.layers[1:]:
        shape = " x ".join(map(str, block.output.shape[1:]))
        assert f"{block.name} {type(block).__name__} {shape} {block.count_params():,}" in text


@pytest.mark.parametrize(
    "trials",
    [
        [],
        [trial(0, error="no memory")],
        [trial(number) for number in range(3)],
        [trial(0, 0.5)],
        [trial(0, 0.0), trial(1, 0.0)],
        [trial(0, status="running", params=None, macs=None, architecture=None, metaparameters={}, hyperparameters={})],
        [trial(0, 0.5, architecture="Mine", metaparameters={"x": 1}), trial(1, 0.6)],
        [trial(0, 0.5, metaparameters={"groups": "wrong"})],
        [trial(0, 0.5, curves={"val_accuracy": [float("nan"), None, 0.5], "loss": []}, val_loss=float("nan"))],
        [trial(0, 0.5, params=0, macs=0, latency=0.0), trial(1, 0.6, params=10**9, macs=10**12, latency=0.2)],
        [trial(number, 0.5, values={f"v{i}": i + number for i in range(40)}) for number in range(3)],
    ],
    ids=lambda trials: f"{len(trials)}-trials",
)
@pytest.mark.parametrize("objectives", [ACCURACY, TWO], ids=["one", "two"])
def test_whatever_the_trials_are(trials, objectives, tmp_path):
    if objectives is TWO:
        trials = [
            dataclasses.replace(one, objectives=(*one.objectives, one.macs) if one.objectives else ()) for one in trials
        ]
    page = report(trials, objectives, tmp_path)
    plots = {one["id"] for one in page.all("div") if "plot" in (one.get("class") or "").split()}
    assert plots == set(page.figures)
    assert "NaN" not in page.scripts[0]
    for name in ("history", "trade-off", "best", "importance", "drawn", "curves", "outcomes", "trials", "settings"):
        assert page.section(name)


def test_other_objectives(tmp_path):
    trials = [trial(0, 0.5, objectives=(0.3, 7.0)), trial(1, 0.9, objectives=(0.2, 9.0))]
    page = report(trials, [Objective("f1", "maximize"), Objective("energy", "minimize")], tmp_path)
    assert "highest f1 0.3 trial 0" in page.section(None)
    assert "lowest energy 7 trial 0" in page.section(None)
    pairs = report(trials, [("f1", "maximize"), ("energy", "minimize")], tmp_path)
    assert [pairs.section(name) for name in page.sections if name] == [
        page.section(name) for name in page.sections if name
    ]
    with pytest.raises(ValueError, match="`objectives` must have one"):
        write_report(trials, [], tmp_path / "none.html", title="")


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"' &amp; <b>{x}"


def test_hostile_names_stay_text(tmp_path):
    bad = {
        "architecture": HOSTILE,
        "metaparameters": {HOSTILE: HOSTILE},
        "hyperparameters": {HOSTILE: HOSTILE},
        "values": {HOSTILE: HOSTILE},
        "curves": {HOSTILE: [1.0, 2.0]},
    }
    trials = [trial(0, 0.5, **bad), trial(1, 0.6, **{**bad, "values": {HOSTILE: "x"}}), trial(2, error=HOSTILE)]
    objectives = [Objective(HOSTILE, "maximize")]
    page = report(trials, objectives, tmp_path, title=HOSTILE, notes={HOSTILE: {HOSTILE: HOSTILE}})
    assert len(page.scripts) == 3
    assert not page.all("img")
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")]
    assert page.all("title") and HOSTILE in "".join(page.text)
    plots = json.dumps(page.figures)
    assert "<img" not in plots and "<script" not in plots  # plotly reads some HTML in its texts


def test_the_page_loads_nothing_and_runs_its_own_scripts_only(tmp_path):
    page = report(MIXED, ACCURACY, tmp_path)
    loading = [attrs for _, attrs in page.elements if "src" in attrs or attrs.get("href", "#")[0] not in "#d"]
    assert loading == []
    (policy,) = (meta["content"] for meta in page.all("meta", **{"http-equiv": "Content-Security-Policy"}))
    assert policy.startswith("default-src 'none'")
    script_policy = re.search(r"script-src ([^;]*)", policy).group(1)
    assert "unsafe-inline" not in script_policy
    for script in page.scripts[1:]:
        assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in script_policy


def test_the_page_can_be_read_without_seeing_it(tmp_path):
    page = report(MIXED, ACCURACY, tmp_path)
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    names = {attrs["id"] for _, attrs in page.elements if attrs.get("id")}
    for attribute in ("aria-labelledby", "aria-controls"):
        assert {attrs[attribute] for _, attrs in page.elements if attribute in attrs} <= names
    assert all(figure["aria-label"] for figure in page.all("figure"))
    links = [link["href"][1:] for link in page.all("a")]
    assert links and set(links) <= names
    assert all(head.get("scope") in ("row", "col") for head in page.all("th"))


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=list(OBJECTIVES))
@pytest.mark.parametrize("value", ["equal", "falling", "rising"])
def test_the_best_that_is_marked_is_the_first_in_the_ranking(objective, value, tmp_path):
    values = {"equal": [5] * 4, "falling": [4, 3, 2, 1], "rising": [1, 2, 3, 4]}[value]
    trials = [trial(i, 0.5, objectives=(float(one),), val_loss=0.1 * (i % 3)) for i, one in enumerate(values)]
    number = ranking(trials, [objective])[0].number
    page = report(trials, [objective], tmp_path)
    assert [row["id"] for row in page.all("tr", **{"class": "best"})] == [f"trial-{number}"]
    assert f"trial {number}, SqueezeNet" in page.section(None)
    assert page.section("best").startswith(f"The best architecture trial {number} ")
    assert f"best, trial {number}" in [line["name"] for line in page.figures["curves-0"]["data"]]


def test_history_and_fronts():
    trials = [trial(0, 0.5), trial(2, 0.4), trial(3, 0.9), trial(4)]
    best, completed, failed = figures.history(trials, ACCURACY, "val_accuracy").data
    assert list(best.y) == [50, 50, 90, 90]
    assert list(best.x) == [0, 2, 3, 4]
    assert list(completed.x) == [0, 2, 3]
    assert list(failed.x) == [4] and failed.y[0] < 40
    # Trial 3 has the fewest multiply-adds and the highest accuracy; trial 0 the fewest parameters.
    assert [one.number for one in front(trials, TWO)] == [3]
    assert {one.number for one in front(trials, [*ACCURACY, OBJECTIVES["params"]])} == {0, 3}


@pytest.mark.parametrize(
    ("trials", "points"),
    [
        ([trial(0, 0.9)], {"completed": 1}),
        ([trial(i, 0.5 + 0.01 * i, params=10 ** (2 + i // 4)) for i in range(30)], {"completed": 30}),
        (
            [trial(0), trial(1, 1.0), trial(2), trial(3, status="pruned"), trial(4, status="running", params=None)],
            {"completed": 1, "failed": 2, "running": 1},
        ),
        ([trial(0), trial(1, status="refused")], {"failed": 1}),
        ([], {}),
    ],
    ids=["one", "many", "mixed", "none completed", "none"],
)
def test_trials_are_drawn(trials, points):
    shown = {one.name: one for one in figures.history(trials, ACCURACY, "val_accuracy").data}
    assert {name: len(one.x) for name, one in shown.items() if name != "best so far"} == points
    assert ("best so far" in shown) == ("completed" in points)
    axis = figures.trade_off(trials, ACCURACY, "val_accuracy", "params").layout.xaxis
    assert (axis.type == "log") == (len(trials) == 30)
    assert len(trials) < 30 or list(axis.tickvals) == [10**power for power in range(2, 10)]


@pytest.mark.parametrize("epochs", [1, 2, 100])
def test_a_training_is_drawn(epochs):
    falling = [2 - 1.999 * i / max(1, epochs - 1) for i in range(epochs)]
    history = {"loss": falling, "val_loss": falling[::-1], "accuracy": [0.5] * epochs, "val_accuracy": [0.9] * epochs}
    loss = figures.training(history, epochs, "loss")
    assert [(one.name, list(one.x), list(one.y)) for one in loss.data] == [
        ("training", list(range(1, epochs + 1)), falling),
        ("validation", list(range(1, epochs + 1)), falling[::-1]),
    ]
    (kept,) = loss.layout.shapes
    assert (kept.name, kept.x0, kept.x1) == (f"kept: epoch {epochs}", epochs, epochs)
    assert (loss.layout.yaxis.type == "log") == (epochs > 1)  # from 2 to 0.001
    accuracy = figures.training(history, 1, "accuracy")
    assert [list(one.y) for one in accuracy.data] == [[50] * epochs, [90] * epochs]


RESULT = {
    "history": {"loss": [2.0, 1.0], "val_loss": [1.5, 0.75], "accuracy": [0.4, 0.6], "val_accuracy": [0.5, 0.75]},
    "kept_epoch": 2,
    "epochs": 2,
    "val_accuracy": 0.75,
    "val_loss": 0.75,
    "test_accuracy": 0.8,
    "test_correct": 48,
    "test_images": 60,
    "params": 1234,
    "seconds": 61.5,
    "data": "digits",
    "architecture": "SqueezeNet",
    "metaparameters": MIXED[1].metaparameters,
    "hyperparameters": MIXED[1].hyperparameters,
}


def test_the_training_of_the_kept_model_is_in_a_searchs_report(tmp_path):
    page = report(MIXED, ACCURACY, tmp_path, result={**RESULT, "trial": 1})
    text = page.section("training")
    assert "trial 1 kept epoch 2 of 2 validation accuracy 75.00 % validation loss 0.75" in text
    assert "test accuracy 80.00 % (48 of 60 images) parameters 1,234 time 1 min 2 s" in text
    assert {"training-loss", "training-accuracy"} <= set(page.figures)
    assert "training" not in report(MIXED, ACCURACY, tmp_path).sections
    assert "training" not in report(MIXED, ACCURACY, tmp_path, result={"trial": 1}).sections  # of another version


def test_a_trainings_own_report(tmp_path):
    path = write_training_report(RESULT, tmp_path / "report.html", title="A training", notes={"seed": 3})
    page = Page(path)
    cards = page.section(None)
    assert "test accuracy 80.00 % 48 of 60 images" in cards
    assert "validation accuracy 75.00 % epoch 2" in cards
    assert set(page.sections) == {None, "training", "model", "settings"}
    assert set(page.figures) == {"training-loss", "training-accuracy"}
    spent = keras_blocks.cost(keras_blocks.SqueezeNet, **MIXED[1].metaparameters)
    assert f"all {spent.params:,} {spent.macs:,}" in page.section("model")
    assert page.section("settings") == "Budget and settings seed 3"
    hostile = {**RESULT, "architecture": HOSTILE, "metaparameters": {HOSTILE: HOSTILE}}
    page = Page(write_training_report(hostile, path, title=HOSTILE, notes={HOSTILE: HOSTILE}))
    assert len(page.scripts) == 3 and not page.all("img")
    assert "Its blocks cannot be listed" in page.section("model")


def test_each_architecture_has_its_own_mark():
    trials = [trial(i, 0.1 * i, architecture=["ResNet", "VGG"][i % 2]) for i in range(6)]
    front_line, resnets, vggs = figures.trade_off(trials, ACCURACY, "val_accuracy", "params").data
    assert (front_line.name, resnets.name, vggs.name) == ("Pareto front", "ResNet", "VGG")
    assert list(resnets.y) == pytest.approx([0, 20, 40])
    assert resnets.marker.symbol != vggs.marker.symbol


def test_a_front_keeps_equals():
    assert [one.number for one in front([trial(0, 0.5), trial(1, 0.5)], ACCURACY)] == [0, 1]


def test_values_that_were_not_drawn_lie_below_the_axis():
    trials = [trial(i, 0.1 * i, values={"rate": 0.001 * 10**i if i else None, "kind": "ab"[i % 2]}) for i in range(4)]
    objective, rate, kind = parallel(trials, ACCURACY).data[0].dimensions
    assert list(objective["values"]) == pytest.approx([0, 10, 20, 30])
    assert rate.ticktext[0] == "-"
    assert rate["values"][0] == rate.tickvals[0] < min(rate["values"][1:])
    assert list(kind.ticktext) == ["a", "b"]


@pytest.fixture(scope="module")
def study():
    """40 trials of which one value decides, in a plain study of Optuna's."""
    from keras_blocks.tuning.storage.store import quiet_optuna

    with quiet_optuna():
        made = optuna.create_study(directions=["maximize", "minimize"], sampler=optuna.samplers.RandomSampler(0))

        def objective(trial):
            kind, idle = trial.suggest_categorical("kind", ["a", "b"]), trial.suggest_float("idle", 0, 1)
            extra = trial.suggest_float("of_a", 0, 1) if kind == "a" else 0.0
            return (5.0 if kind == "b" else 0.0) + extra, idle

        made.optimize(objective, n_trials=40)
    return made


def test_importances(study, tmp_path):
    found = importances(study, 0)
    assert set(found) == {"kind", "idle", "of_a"}  # the one that is drawn in some trials only, too
    assert sum(found.values()) == pytest.approx(1)
    assert found["kind"] > found["idle"]
    assert max(importances(study, 1), key=importances(study, 1).get) == "idle"
    page = report([trial(0, 0.5)], TWO, tmp_path, study=study)
    bars = page.figures["importances"]["data"]
    assert [bar["name"] for bar in bars] == ["for validation accuracy", "for multiply-adds"]


def test_importances_of_few_trials():
    few = optuna.create_study(direction="maximize")
    with pytest.raises(TooFewTrials, match="there are 0"):
        importances(few, 0)
    for _ in range(10):
        few.add_trial(optuna.trial.create_trial(value=1.0))
    with pytest.raises(TooFewTrials, match="alike"):
        importances(few, 0)


def test_a_report_of_a_real_study(tmp_path):
    from keras_blocks.tuning.storage.store import StudyStorage, sqlite_url
    from keras_blocks.tuning.study.pruners import make_pruner
    from keras_blocks.tuning.study.samplers import make_sampler
    from keras_blocks.tuning.study.study import Study

    hp = keras_tuner.HyperParameters()
    hp.Choice("filters", [8, 16, 24])
    study = Study(
        StudyStorage(sqlite_url(tmp_path / "study.db")),
        "real",
        space=KerasTunerSpace(hp.space),
        sampler=make_sampler("random", 0),
        pruner=make_pruner("none", 1),
        directions=["maximize"],
        identity={},
    )
    lease = study.next("worker")
    study.complete(lease, [0.75], {"val_accuracy": 0.75, "val_loss": 0.5, "epochs": 1, "seconds": 1.0})
    study.fail(study.next("worker"), "it burst")
    page = report(study.trials(), ACCURACY, tmp_path, study=study.optuna)
    study.close()
    assert "75.00 % trial 0" in page.section(None)
    assert "it burst" in page.section("outcomes")
    assert "Importances need 10 completed trials; there are 1." in page.section("importance")
