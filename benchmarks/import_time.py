"""What `import keras_blocks` adds to `import keras`, and what `keras-blocks --help` takes, each in fresh processes.

Targets: 50 ms at most, and below a second.
"""

import statistics
import subprocess
import sys
import time

IMPORT = """
import time, keras
start = time.perf_counter()
import keras_blocks
print(time.perf_counter() - start)
"""
HELP = "import keras_blocks_cli, sys; sys.argv[1:] = ['--help']; keras_blocks_cli.main()"


def printed(code) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def seconds(code) -> float:
    began = time.perf_counter()
    printed(code)
    return time.perf_counter() - began


if __name__ == "__main__":
    added = statistics.median(float(printed(IMPORT)) for _ in range(7))
    print(f"import keras_blocks after import keras: {added * 1e3:.0f} ms")
    print(f"keras-blocks --help: {statistics.median(seconds(HELP) for _ in range(7)):.2f} s")
