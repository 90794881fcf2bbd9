"""Record the demo anew: the same replies against the tools as they are now. Run it when a tool words its result anew.

python tools/record_demo.py
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from autohands.cli.demo import RECORDING
from autohands.extensions.provider_replay.recording import Head, Line

FILE = RECORDING / "recording.jsonl"


def main() -> None:
    """Let the tools answer, and keep what they said beside the replies there were."""
    head, *lines = FILE.read_bytes().splitlines()
    kept, replies = msgspec.json.decode(head, type=Head), [msgspec.json.decode(line, type=Line) for line in lines]
    with tempfile.TemporaryDirectory() as place:
        loose, strict, workspace = Path(place, "loose.jsonl"), Path(place, "strict.jsonl"), Path(place, "workspace")
        shutil.copytree(RECORDING / "workspace", workspace)
        anything = [msgspec.structs.replace(line, said=None) for line in replies]
        loose.write_bytes(b"\n".join(map(msgspec.json.encode, [kept, *anything])))
        command = [sys.executable, "-m", "autohands", "run", kept.prompt, "--yes", "--json"]
        command += ["--model", f"replay/{loose}", "--record", str(strict), "--workspace", str(workspace)]
        environment = {**os.environ, "AUTOHANDS_HOME": place}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        recorded = strict.read_bytes().splitlines()[1:]
    FILE.write_bytes(b"\n".join([msgspec.json.encode(kept), *recorded]) + b"\n")
    print(f"{len(recorded)} turns recorded in {FILE}")


if __name__ == "__main__":
    main()
