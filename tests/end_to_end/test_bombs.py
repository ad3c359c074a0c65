"""Small files that claim or unfold to be huge, and files that would run code: refused, cheaply."""

from __future__ import annotations

import io
import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from synergy_tui.errors import ExitCode

# torch alone maps more than a gigabyte; what counts is what is really held.
MOST_MEMORY = 1_500 * 2**20
MOST_SECONDS = 60


def npy_header(shape: tuple[int, ...], kind: str = "<f8") -> bytes:
    """The header of an array file that has no data."""
    file = io.BytesIO()
    np.lib.format.write_array_header_2_0(
        file, {"descr": kind, "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


def safetensors(shape: list[int], end: int, data: bytes = b"") -> bytes:
    header = json.dumps({"attention": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}})
    return struct.pack("<Q", len(header)) + header.encode() + data


def zip_of(name: str, start: bytes, zeros: int) -> bytes:
    """A zip whose one member is ``start`` and then a great many zeros."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(name, "w", force_zip64=True) as member,
    ):
        member.write(start)
        block = bytes(2**24)
        for _ in range(zeros // len(block)):
            member.write(block)
    return file.getvalue()


def entity_bomb() -> bytes:
    """The billion laughs: ten entities, each ten times the one before."""
    entities = '<!ENTITY a0 "ha">' + "".join(
        f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 11)
    )
    return (
        f"<?xml version='1.0'?><!DOCTYPE g [{entities}]>"
        "<graphml xmlns='http://graphml.graphdrawing.org/xmlns'><graph edgedefault='directed'>"
        "<node id='&a10;'/><node id='b'/></graph></graphml>"
    ).encode()


def outside_entity() -> bytes:
    return (
        b"<?xml version='1.0'?><!DOCTYPE g [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>"
        b"<graphml xmlns='http://graphml.graphdrawing.org/xmlns'><graph edgedefault='directed'>"
        b"<node id='&e;'/></graph></graphml>"
    )


SIDE = 40_000
BOMBS: dict[str, Callable[[], bytes]] = {
    "lying.npy": lambda: npy_header((SIDE, SIDE)),
    "overflowing.npy": lambda: npy_header((2**40, 2**40)),
    "object.npy": lambda: npy_header((2, 2), "|O"),
    "lying.npz": lambda: zip_of("attention.npy", npy_header((SIDE, SIDE)), 0),
    "unfolding.npz": lambda: zip_of(
        "attention.npy", npy_header((1, 20_000, 20_000)), 8 * 20_000 * 20_000
    ),
    "header.safetensors": lambda: struct.pack("<Q", 2**62) + b"{}",
    "lying.safetensors": lambda: safetensors([SIDE, SIDE], 4 * SIDE * SIDE),
    "negative.safetensors": lambda: safetensors([-1, 4], 16, bytes(16)),
    "entities.graphml": entity_bomb,
    "outside.graphml": outside_entity,
    "deep.json": lambda: b"[" * 200_000 + b"]" * 200_000,
    "far.mtx": lambda: (
        b"%%MatrixMarket matrix coordinate real general\n999999999 999999999 1\n2 1 1\n"
    ),
    "line.csv": lambda: b"0,1" * 5_000_000,
    "deep.gml": lambda: b"graph [ " * 100_000,
}
SCENARIOS = {
    "deep.toml": b"a = " + b"[" * 200_000,
    "keys.toml": b"\n".join(b"a%d = 1" % i for i in range(50_000)),
    "runs.toml": b'[[runs]]\nname = "x"\nheads = 999999999999\n' * 1_000,
    "dots.toml": b"a" + b".a" * 100_000 + b" = 1",
    "minus.toml": b'[[expect]]\nthat = "' + b"-" * 100_000 + b'1 < 2"\n',
    "brackets.toml": b'[[expect]]\nthat = "' + b"(" * 100_000 + b'1 < 2"\n',
}


def cost(*arguments: str | Path) -> tuple[int, str, int]:
    """Run the command and return its exit code, stderr, and the most memory that it held."""
    process = subprocess.Popen(
        [sys.executable, "-m", "synergy_tui", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS)),
    )
    assert process.stderr is not None
    with process.stderr:
        printed = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, printed, usage.ru_maxrss * 1024


def refused(*arguments: str | Path) -> None:
    code, printed, held = cost(*arguments)
    assert code == ExitCode.BAD_INPUT, printed[-2000:]
    assert "Traceback" not in printed
    assert 0 < len(printed) < 20_000
    assert held < MOST_MEMORY, f"{held / 2**20:.0f} MiB"


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.slow
def test_a_bomb_is_refused_within_bounds(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(BOMBS[name]())
    refused("analyze", file)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_huge_scenario_is_refused_within_bounds(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(SCENARIOS[name])
    refused("validate", file)


@pytest.mark.slow
def test_a_training_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "huge.toml"
    file.write_text(
        '[train]\ntask = "sort"\nlength = 1000000000\nbatch = 1000000000\n'
        '[[runs]]\nname = "x"\nheads = 1\n'
    )
    refused("run", "--no-ui", "-q", "--out", tmp_path / "home", file)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs /dev/zero")
@pytest.mark.parametrize("command", ["validate", "analyze"])
def test_an_endless_file_is_refused(command: str, tmp_path: Path) -> None:
    endless = tmp_path / "endless.csv"
    endless.symlink_to("/dev/zero")
    refused(command, endless)


PIPES = [".npy", ".npz", ".safetensors", ".pt", ".graphml", ".gml", ".json", ".csv", ".mtx"]


@pytest.mark.parametrize("suffix", PIPES)
def test_a_pipe_that_nobody_writes_to_is_not_waited_for(
    suffix: str, tmp_path: Path, call: Callable[..., object]
) -> None:
    pipe = tmp_path / f"pipe{suffix}"
    os.mkfifo(pipe)
    scenario = tmp_path / "names_it.toml"
    key = {".npy": "attention", ".npz": "attention", ".safetensors": "checkpoint"}.get(suffix)
    named = f'heads = 1\n{key} = "{pipe.name}"' if key else f'[[runs.heads]]\nfile = "{pipe.name}"'
    train = '[train]\ntask = "copy"\n' if key == "checkpoint" else ""
    scenario.write_text(f'{train}[[runs]]\nname = "a"\n{named}\n', encoding="utf-8")
    commands = [["analyze", pipe, "--heads", "1"]]
    if suffix != ".pt":
        commands.append(["validate", scenario])
    for arguments in commands:
        result = call(*arguments)
        assert getattr(result, "exit_code", None) == ExitCode.BAD_INPUT
        assert "is a pipe or device" in getattr(result, "stderr", "")


@pytest.mark.parametrize("option", ["--weights", "--tokens"])
@pytest.mark.parametrize("name", ["lying.npy", "object.npy", "deep.json", "huge.txt"])
def test_files_of_numbers_are_bounded(option: str, name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    if name == "huge.txt":
        with file.open("wb") as sparse:
            sparse.truncate(2**40)
    else:
        file.write_bytes(BOMBS[name]())
    attention = tmp_path / "attention.npy"
    np.save(attention, np.eye(2))
    refused("analyze", attention, option, file)


class Payload:
    """Unpickled, it would leave a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("suffix", [".pt", ".npy", ".npz", ".safetensors"])
def test_files_run_no_code(suffix: str, tmp_path: Path, call: Callable[..., object]) -> None:
    import torch

    trace = tmp_path / "trace"
    file = tmp_path / f"evil{suffix}"
    if suffix == ".pt":
        torch.save({"token_emb.weight": Payload(trace)}, file)
    elif suffix == ".npy":
        np.save(file, np.array([[Payload(trace)]], dtype=object), allow_pickle=True)
    elif suffix == ".npz":
        np.savez(file, attention=np.array([[Payload(trace)]], dtype=object))
    else:
        file.write_bytes(pickle.dumps(Payload(trace)))
    result = call("analyze", file, "--heads", "1")
    assert getattr(result, "exit_code", None) == ExitCode.BAD_INPUT
    assert not trace.exists()


@pytest.mark.parametrize(
    "that",
    [
        "__import__('os').system('touch trace') == 0",
        "one.__class__ == 1",
        "one.loss == one.loss.__init__",
        "(lambda: 1)() == 1",
        "one.loss < 10 ** 10 ** 10",
    ],
)
def test_expectations_run_no_code(
    that: str, tmp_path: Path, call: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("evil.toml").write_text(
        '[train]\ntask = "copy"\n[[runs]]\nname = "one"\nheads = 1\n[[expect]]\n'
        f"that = {json.dumps(that)}\n",
        encoding="utf-8",
    )
    result = call("validate", "evil.toml")
    assert getattr(result, "exit_code", None) == ExitCode.BAD_INPUT
    assert not Path("trace").exists()


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "a/b", "..", "a\\\\b", "x" * 300])
def test_a_scenario_writes_nothing_outside_its_experiment(
    name: str, tmp_path: Path, call: Callable[..., object]
) -> None:
    home = tmp_path / "a" / "b" / "home"
    home.mkdir(parents=True)
    text = (
        'title = "x"\nname = "NAME"\n[[runs]]\nname = "one"\n'
        "nodes = 2\n[[runs.heads]]\nedges = [[0, 1]]\n"
    )
    for place in ("scenario", "run"):
        file = tmp_path / f"{place}.toml"
        evil = text.replace("NAME", name) if place == "scenario" else text.replace("one", name)
        file.write_text(evil, encoding="utf-8")
        before = {each for each in tmp_path.rglob("*") if home not in each.parents}
        result = call("run", "--no-ui", "-q", "--out", home, file)
        assert getattr(result, "exit_code", None) in (ExitCode.OK, ExitCode.BAD_INPUT)
        assert {each for each in tmp_path.rglob("*") if home not in each.parents} == before
