"""What makes JAX's tests quick, most of whose time is XLA compiling.

XLA's expensive passes change no result that is tested. Without its fusion emitters a small program takes 28 ms of
processor time in place of 43.
"""

FLAGS = " ".join(
    [
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
        "--xla_cpu_use_fusion_emitters=false",
    ]
)
