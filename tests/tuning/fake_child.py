"""Stands for the process that trains: speaks as `trial_process` does, and does what the candidate says.

Needs no Keras, so that it starts at once. Its arguments: its own way of acting, then the socket's handle.
"""

import ctypes
import json
import os
import signal
import sys
import time
import zlib
from multiprocessing.connection import Connection
from pathlib import Path


def main(handle):
    connection = Connection(handle)

    def say(kind, **data):
        connection.send_bytes(json.dumps({"kind": kind, **data}).encode())

    def hear():
        return json.loads(connection.recv_bytes())

    hear()
    say("ready")
    ballast = []
    while True:
        try:
            request = hear()
        except EOFError:
            return
        if request["what"] == "final":
            say("epoch", epoch=1, logs={})
            counts = {"test_accuracy": 0.9, "test_correct": 54, "test_images": 60}
            kept = {"kept_epoch": 1, "epochs": request["epochs"], "params": 5, "val_accuracy": 0.8}
            say("trained", pruned=False, result={**request["notes"], **counts, **kept})
            continue
        act = request["candidate"]["metaparameters"].get("act", "train")
        checkpoint = Path(request.get("checkpoint") or "/nonexistent")
        resumed = len(checkpoint.read_text()) if checkpoint.exists() else 0
        again = resumed > 0
        if act == "fail":
            say("failed", reason="ValueError: bad")
            continue
        if act == "full":
            say("full")
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
        told = zlib.crc32(json.dumps(request["candidate"], sort_keys=True).encode()) / 2**32
        score = request["candidate"]["metaparameters"].get("score", told)
        for epoch in range(resumed + 1, request["epochs"] + 1):
            if act == "die once" and epoch == 2 and not again:
                os.kill(os.getpid(), signal.SIGKILL)
            if act == "die" and epoch == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(request["candidate"]["metaparameters"].get("sleep", 0))
            if checkpoint.parent.name == "checkpoints":
                checkpoint.parent.mkdir(parents=True, exist_ok=True)
                checkpoint.write_text("x" * epoch)
            say("epoch", epoch=epoch, logs={"val_accuracy": score})
            if request["asks"] and hear()["stop"]:
                break
        value = float("nan") if act == "nan" else score
        curves = {"val_accuracy": [value] * epoch}
        device = os.environ.get("CUDA_VISIBLE_DEVICES")
        result = {
            "device": device,
            "epochs": epoch,
            "resumed": resumed,
            "val_accuracy": value,
            "val_loss": 1 - value,
            "curves": curves,
        }
        say("trained", pruned=epoch < request["epochs"], result={**result, "seconds": 0.01})
        if hear()["keep"]:
            Path(request["keep"]).parent.mkdir(parents=True, exist_ok=True)
            Path(request["keep"]).write_text("model")
            say("kept")


if __name__ == "__main__":
    main(int(sys.argv[1]))
