"""What `import keras_blocks` adds to `import keras`, in fresh processes. Target: 50 ms at most."""

import statistics
import subprocess
import sys

CODE = """
import time, keras
start = time.perf_counter()
import keras_blocks
print(time.perf_counter() - start)
"""


def added() -> float:
    done = subprocess.run([sys.executable, "-c", CODE], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return float(done.stdout)


if __name__ == "__main__":
    print(f"import keras_blocks after import keras: {statistics.median(added() for _ in range(7)) * 1e3:.0f} ms")
