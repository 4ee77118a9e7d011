"""What makes JAX's tests quick, most of whose time is XLA compiling.

XLA's expensive passes change no result that is tested. Without its fusion emitters a small program takes 28 ms of
processor time in place of 43. One thread compiles and computes: another suite has the other core.
"""

THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
"""Variables that hold TensorFlow's and PyTorch's numbers of threads."""

FLAGS = " ".join(
    [
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
        "--xla_cpu_use_fusion_emitters=false",
        "--xla_cpu_parallel_codegen_split_count=1",
        "--xla_cpu_multi_thread_eigen=false",
    ]
)
