"""Stands for the process that trains: speaks as `trial_process` does, and does what the candidate says.

It needs the standard library alone, so that it starts at once, which holds `protocol` to the same.
"""

import argparse
import contextlib
import ctypes
import importlib.util
import json
import os
import pathlib
import signal
import sys
import time
import zipfile
import zlib
from multiprocessing.connection import Connection

COMMAND = (sys.executable, "-S", str(pathlib.Path(__file__).absolute()))
"""Starts it, by `Supervisor`. -S: without any installed package."""


def loaded(*path):
    """A module of `tuning`, by its file, without the package in which it lies, which imports Keras."""
    path = pathlib.Path(__file__).absolute().parents[2].joinpath("tuning", *path)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def requests(protocol, handle):
    """The line to who asks, with each request until it hangs up."""
    line = protocol.Line(Connection(handle))
    line.hear()
    line.say(protocol.Ready())
    with contextlib.suppress(EOFError):
        while True:
            yield line, line.hear()


def main(options):
    protocol = loaded("trials", "protocol.py")
    ballast = []
    for line, request in requests(protocol, options.handle):
        if isinstance(request, protocol.FinalRequest):
            line.say(protocol.Epoch(1, {}))
            counts = {"test_accuracy": 0.9, "test_correct": 54, "test_images": 60}
            kept = {"kept_epoch": 1, "epochs": request.epochs, "params": 5, "val_accuracy": 0.8}
            result = {**request.notes, **counts, **kept}
            folder = pathlib.Path(request.folder)
            (folder / "result.json").write_text(json.dumps(result))
            for name in ("best.keras", "test.npz"):
                with zipfile.ZipFile(folder / name, "w") as file:
                    file.writestr("of", "no weight")
            line.say(protocol.Trained(result))
            continue
        how = request.candidate["metaparameters"]
        act = options.act or how.get("act", "train")
        if options.full_where is not None and options.full_where.exists():
            act = "full"
        checkpoint = pathlib.Path(request.checkpoint)
        resumed = len(checkpoint.read_text()) if checkpoint.exists() else 0
        if act == "fail":
            line.say(protocol.Failed("ValueError: bad"))
            continue
        if act == "full":
            line.say(protocol.Full())
            continue
        if act == "slow":
            line.say(protocol.TooSlow({"latency": 0.5}))
            continue
        if act == "segfault":
            ctypes.string_at(0)
        if act == "exit":
            print("the last words", file=sys.stderr, flush=True)
            os._exit(3)
        if act == "hang":
            time.sleep(600)
        if act == "eat":
            ballast.append(bytearray(os.urandom(1) * 2**29))
            time.sleep(600)
        if act == "grow":
            ballast.append(bytearray(b"x" * 2**29))
        score = how.get("score", zlib.crc32(json.dumps(request.candidate, sort_keys=True).encode()) / 2**32)
        for epoch in range(resumed + 1, request.epochs + 1):
            if epoch == 2 and (act == "die" or (act == "die once" and not resumed)):
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(options.sleep)
            if checkpoint.parent.name == "checkpoints":
                checkpoint.parent.mkdir(parents=True, exist_ok=True)
                checkpoint.write_text("x" * epoch)
            told = protocol.Epoch(epoch, {"val_accuracy": score})
            if request.asks:
                if line.ask(told):
                    break
            else:
                line.say(told)
        value = float("nan") if act == "nan" else score
        result = {
            "device": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "epochs": epoch,
            "resumed": resumed,
            "val_accuracy": value,
            "val_loss": 1 - value,
            "curves": {"val_accuracy": [value] * epoch},
            "seconds": 0.01,
        }
        if line.ask(protocol.Trained(result, pruned=epoch < request.epochs)):
            model = pathlib.Path(request.model)
            model.parent.mkdir(parents=True, exist_ok=True)
            model.write_text("model")
            line.say(protocol.Kept())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--act", help="what all trials do, whatever their candidates say")
    parser.add_argument("--sleep", type=float, default=0, help="seconds of each epoch")
    parser.add_argument("--full-where", type=pathlib.Path, help="a file; while it is there, the disk is full")
    parser.add_argument("handle", type=int)
    main(parser.parse_args())
