"""What goes over the socket comes out as it went in."""

import multiprocessing
import threading

import pytest

from keras_blocks.tuning.trials import protocol
from keras_blocks.tuning.trials.protocol import Line, Message

CANDIDATE = {"architecture": "keras_blocks>ResNet", "metaparameters": {"groups": [1, 2]}, "hyperparameters": {}}
MESSAGES = [
    protocol.Setup(data="digits", seed=3, image_size=None, data_sha256="0a", imports=[{"module": "mine"}]),
    protocol.TrialRequest(4, CANDIDATE, "s", 9, "val_loss", 5, "a.npz", "b.keras", asks=True, max_latency=0.5),
    protocol.FinalRequest(folder="runs/one", candidate=CANDIDATE, epochs=2, seed=0, notes={"pareto": []}),
    protocol.Answer(True),
    protocol.Ready(),
    protocol.Note("sträng"),
    protocol.Epoch(3, {"loss": 0.1}),
    protocol.Trained({"curves": {"loss": [0.1, 0.2]}}, pruned=True),
    protocol.Kept(),
    protocol.TooSlow({"latency": 1.5}),
    protocol.Failed("ValueError: bad"),
    protocol.Full(),
]


@pytest.fixture
def lines():
    one, other = multiprocessing.Pipe()
    with one, other:
        yield Line(one), Line(other)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_out_as_it_went_in(message, lines):
    lines[0].say(message)
    heard = lines[1].hear()
    assert type(heard) is type(message)
    assert heard == message


def test_all_kinds_are_tested():
    assert {type(message) for message in MESSAGES} == set(Message.__subclasses__())


@pytest.mark.parametrize("yes", [True, False])
def test_a_question_is_answered(yes, lines):
    thread = threading.Thread(target=lambda: (lines[1].hear(), lines[1].say(protocol.Answer(yes))))
    thread.start()
    assert lines[0].ask(protocol.Epoch(1, {})) is yes
    thread.join()
