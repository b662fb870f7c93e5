"""Build the two compiled modules; everything else is said in pyproject.toml.

Three switches, read from the environment, and no more:
    ENGINE_DEBUG=1     bounds checks, assertions and no optimisation, in a build folder of its own
    ENGINE_SANITIZE=1  AddressSanitizer and UndefinedBehaviorSanitizer
    ENGINE_NATIVE=1    tune for the machine that builds (never for a wheel)
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = bool(os.environ.get("ENGINE_DEBUG"))
SANITIZE = bool(os.environ.get("ENGINE_SANITIZE"))
NATIVE = bool(os.environ.get("ENGINE_NATIVE"))

# No -ffast-math and no contraction: every CPU and every clone must give the same samples.
compile_args = ["-O0", "-g", "-UNDEBUG"] if DEBUG else ["-O3"]
compile_args += ["-std=c11", "-ffp-contract=off", "-Wall", "-Wextra", "-Wno-unused-function"]
link_args: list[str] = []
if SANITIZE:
    compile_args += ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    link_args += ["-fsanitize=address,undefined"]
if NATIVE:
    compile_args += ["-march=native"]


def extension(module: str, *headers: str) -> Extension:
    """A module, with the headers that are its own: named, or they would be missing from the source distribution."""
    source = f"{module.replace('.', '/')}.pyx"
    return Extension(
        module, [source], depends=[source, *headers], extra_compile_args=compile_args, extra_link_args=link_args
    )


extensions = [
    extension(
        "engine._codec", *(f"engine/_{part}.h" for part in ("codec", "kernels", "resample", "playout", "conceal"))
    ),
    extension("engine.adapters._silero", "engine/adapters/_silero.h", "engine/adapters/_silero_step.h"),
]

setup(
    ext_modules=cythonize(
        extensions,
        build_dir=str(Path("build") / ("cython-debug" if DEBUG else "cython")),
        compiler_directives={
            "language_level": 3,
            "boundscheck": DEBUG,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": DEBUG,
            "auto_pickle": False,
            "autotestdict": False,
            "embedsignature": False,
        },
    )
)
