"""The C loops under AddressSanitizer and UndefinedBehaviorSanitizer, fed with arbitrary bytes.

`fuzz/sanitized` does the same to the whole extension; it takes a minute, so it has a step of its own.
"""

import subprocess
import sysconfig
from pathlib import Path

import pytest

from engine import _codec

SOURCE = Path(__file__).parent.parent / "fuzz" / "codec_fuzz.c"
FLAGS = ["-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("fuzz") / "codec_fuzz"
    compiler = (sysconfig.get_config_var("CC") or "cc").split()
    subprocess.run([*compiler, *FLAGS, *SANITIZERS, str(SOURCE), "-o", str(program)], check=True, timeout=120)
    return program


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_arbitrary_bytes_reach_no_byte_that_is_not_theirs(fuzzer, seed):
    done = subprocess.run([str(fuzzer), "1000", str(seed)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"1000 inputs, variants: {' '.join(_codec.clones())}\n"
