"""What an opened bundle reads, as the system's kernel saw it: files that its manifest lists, and no others."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hyperstyle_deploy.demo import BUNDLE, PHOTO
from hyperstyle_deploy.runtime.backends import available
from hyperstyle_deploy.runtime.bundle.reader import read_manifest

STRACE = shutil.which("strace")
OPENED = re.compile(r'open(?:at|at2)?\((?:[^,"]*, )?"((?:[^"\\]|\\.)*)".* = \d')
#: Everything that draws and edits: every graph of a HyperStyle bundle is run.
RUN = """
import sys
from hyperstyle_deploy.runtime.session import load
with load(sys.argv[1], backend=sys.argv[2]) as session:
    found = session.invert(sys.argv[3], steps=1)
    session.edit(found, [{session.directions.names()[0]: 1.0}])
"""


@pytest.mark.skipif(STRACE is None, reason="no strace to watch with")
@pytest.mark.parametrize("backend", available())
def test_an_opened_bundle_reads_its_listed_files_alone(tmp_path: Path, backend: str) -> None:
    bundle = shutil.copytree(BUNDLE, tmp_path / "a.bundle")
    # Whatever a reader might look for beside a graph.
    for graph in list(bundle.glob("*.onnx")):
        for name in (graph.with_suffix(".bin"), graph.with_suffix(".xml"), graph.with_name(f"{graph.name}.data")):
            name.write_bytes(b"<net/>")
    trace = tmp_path / "trace"
    command = [STRACE, "-f", "-qq", "-e", "trace=open,openat,openat2", "-o", trace, sys.executable, "-c", RUN]
    subprocess.run(list(map(str, [*command, bundle, backend, PHOTO])), check=True, timeout=300, cwd=tmp_path)
    names = [
        re.sub("^/proc/self/fd/[0-9]+(?=/)", str(bundle), name)
        for name in OPENED.findall(trace.read_text(errors="replace"))
    ]
    opened = {Path(tmp_path, name) for name in names}
    inside = {path.relative_to(bundle).as_posix() for path in opened if bundle in path.parents}
    directions = {path for path in inside if path == "directions" or path.startswith("directions/")}
    listed = set(read_manifest(bundle).files)
    assert inside - directions - {"bundle.json"} == listed
    assert len(directions) > 1
    # Nothing of its folder's neighbours either.
    assert {path for path in opened if tmp_path in path.parents and bundle not in path.parents} <= {bundle, trace}
