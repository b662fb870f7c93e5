"""What strangers send, guided by coverage: `pip install atheris`, then `python fuzz/strangers_atheris.py TARGET -runs=200000`.

TARGET is one of `strangers.TARGETS`; options are libFuzzer's. Begins from seeds that get far. What is found is written to `crash-…`;
give that file as a last argument to run it alone.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import atheris

with atheris.instrument_imports(include=["engine", "uvicorn", "starlette", "aiortc"]):
    from fuzz import strangers


def main() -> None:
    target, options = sys.argv[1], sys.argv[2:]
    with tempfile.TemporaryDirectory(prefix="seeds-") as folder:
        for number, seed in enumerate(strangers.seeds(target)):
            (Path(folder) / str(number)).write_bytes(seed)
        inputs = [] if any(not option.startswith("-") for option in options) else [folder]
        atheris.Setup([sys.argv[0], "-max_len=8192", *options, *inputs], strangers.TARGETS[target])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
