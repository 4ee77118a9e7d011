"""On an accelerator, what the tests check on a CPU, and what our networks take there; six minutes at most.

    python benchmarks/gpu.py                                  # each backend that is installed, 360 s for all
    KERAS_BACKEND=jax python benchmarks/gpu.py --seconds 170 --json gpu_jax.json
    KERAS_BACKEND=torch python benchmarks/gpu.py --cpu        # that the script itself works: on a CPU, tiny

A line for each check: what came out, in which time. One that fails, or takes longer than its limit, stops no other;
those that the time did not suffice for are named at the end. All of it is in the JSON file, too. What is checked, in
this order: the device; BatchNormalization against Keras'; grouped convolution against slices, by which formulation, and
how fast the others are; golden outputs of torchvision; a training step's and an inference's time, and memory; two
workers of a search on one device; every block, forward and backward, in float32, mixed_float16 and mixed_bfloat16,
channels_last and channels_first. It needs the tests beside it, and no more than what they need.

Tolerances are those of 32 bits: TensorFloat-32 is turned off but for the times.
"""

import argparse
import contextlib
import fnmatch
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import traceback

import gpu_checks

ROOT = pathlib.Path(__file__).parents[1]
BACKENDS = ("torch", "tensorflow", "jax")
TIMED = ("resnet50", "resnet50_v1", "resnext50_32x4d", "densenet121")
GOLDENS = ("resnet50", "resnext50_32x4d", "densenet121")


class Late(Exception):
    """A check that took longer than its limit."""


@contextlib.contextmanager
def limit(seconds):
    """Raises `Late` in what runs in Python; what never returns to it ends with the whole, see `Checks.watched`."""

    def late(*_):
        raise Late(f"longer than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01), 5)  # again, where a callback has swallowed it
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Checks:
    """Runs checks one after the other, and keeps what came out."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.end = time.monotonic() + arguments.seconds
        self.results = []

    def run(self, name, seconds, function, *args):
        left = self.end - time.monotonic()
        if not fnmatch.fnmatch(name, self.arguments.checks):
            return
        if left < 1:
            self.note(name, "not run", 0.0, "the time was over")
            return
        begin = time.monotonic()
        try:
            with limit(min(seconds, left)):
                found = function(*args)
            outcome = ("skipped", found[len("skipped: ") :]) if str(found).startswith("skipped: ") else ("ok", found)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f" ({pathlib.Path(place.filename).name}:{place.lineno})"
            outcome = ("FAILED", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}{where}")
        self.note(name, outcome[0], time.monotonic() - begin, outcome[1])

    def note(self, name, outcome, seconds, found):
        if outcome != "not run":
            print(f"{outcome:8} {name:44} {seconds:6.1f} s  {found if found is not None else ''}", flush=True)
        self.results.append({"check": name, "outcome": outcome, "seconds": round(seconds, 2), "found": found})
        self.write()

    def write(self):
        part = pathlib.Path(f"{self.arguments.json}.part")
        part.write_text(json.dumps({"backend": os.environ["KERAS_BACKEND"], "checks": self.results}, indent=1) + "\n")
        os.replace(part, self.arguments.json)

    def watched(self):
        """Ends the process ten seconds after its time, whatever hangs."""

        def stop():
            print("FAILED   something never came back to Python: the process ends", flush=True)
            os._exit(3)

        timer = threading.Timer(self.end - time.monotonic() + 10, stop)
        timer.daemon = True
        timer.start()


def run_all(arguments):
    """The checks of one backend, in this process."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "models"), str(ROOT)]
    checks, tiny = Checks(arguments), arguments.cpu
    checks.watched()
    checks.run("the device", 60, gpu_checks.device, tiny)
    if any(result["outcome"] == "FAILED" for result in checks.results):
        return checks.results
    for policy in gpu_checks.POLICIES:
        for axis in (-1, 1):
            checks.run(f"normalization, {policy}, axis {axis}", 15, gpu_checks.normalization, policy, axis)
    checks.run("grouped convolution", 30, gpu_checks.grouped_convolution, tiny)
    for variant in GOLDENS[:1] if tiny else GOLDENS:
        checks.run(f"golden outputs, {variant}", 40, gpu_checks.golden, variant)
    for policy in ("float32", "mixed_bfloat16", "mixed_float16"):
        for name in ("resnet50_v1",) if tiny else TIMED:
            checks.run(f"speed, {name}, {policy}", 40, gpu_checks.speed, name, policy, tiny)
    checks.run("memory of DenseNet-121", 40, gpu_checks.recomputed, tiny)
    checks.run("a search by two workers", 90, gpu_checks.search_by_two, 85)
    from catalog import LAYERS

    for row in LAYERS:
        checks.run(f"block, {row.name}", 20, gpu_checks.block, row, tiny)
    left = [result["check"] for result in checks.results if result["outcome"] == "not run"]
    if left:
        print(f"not run, as the time was over: {', '.join(left)}")
    return checks.results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=360, help="for all backends together")
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, help="KERAS_BACKEND's, or all that are installed")
    parser.add_argument("--cpu", action="store_true", help="tiny sizes, on a machine without an accelerator")
    parser.add_argument("--checks", default="*", help="shell-style pattern of those that are run, as 'block, *'")
    parser.add_argument("--json", default="gpu.json", help="file for what came out")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        failed = [result for result in run_all(arguments) if result["outcome"] == "FAILED"]
        return 1 if failed else 0
    named = [os.environ["KERAS_BACKEND"]] if "KERAS_BACKEND" in os.environ else BACKENDS
    backends = [name for name in arguments.backends or named if importlib.util.find_spec(name)]
    end, found, failed = time.monotonic() + arguments.seconds, {}, 0
    for i, backend in enumerate(backends):
        share = (end - time.monotonic()) / (len(backends) - i)
        print(f"-- {backend}: {share:.0f} s", flush=True)
        path = f"{arguments.json}.{backend}"
        command = [sys.executable, __file__, "--here", "--seconds", str(share - 12), "--json", path]
        command += ["--checks", arguments.checks, *(["--cpu"] if arguments.cpu else [])]
        places = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join(places)}
        environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        environment.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
        environment.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        failed += bool(subprocess.run(command, env=environment).returncode)
        if os.path.exists(path):
            found[backend] = json.loads(pathlib.Path(path).read_text())["checks"]
            os.remove(path)
        pathlib.Path(arguments.json).write_text(json.dumps(found, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
