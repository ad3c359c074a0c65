"""Graph files: every format, there and back, and everything that can be wrong with one."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import HealthCheck, given, settings, strategies as st

import synergy_engine as engine
from synergy_engine.errors import EngineError, GraphFileError, TooLargeError, UnreachableError
from synergy_engine.graphio.matrices import read_market
from synergy_engine.system import MultiHeadSystem
from synergy_engine.topologies.topology import topology

TEXT = ["graphml", "xml", "gml", "json", "csv", "tsv", "txt", "edges"]
NAMES = ("u", 'v "&<>', "ẅ,;", "τ")


def example2(names: tuple[str, ...] | None = NAMES) -> MultiHeadSystem:
    heads = [[(0, 1), (1, 2), (2, 3)], [(0, 2, 0.1), (1, 2), (1, 3), (2, 3, 1 / 3)]]
    return MultiHeadSystem.from_edges(heads, nodes=4, names=names, weights=[0.6, 0.4])


def same(one: MultiHeadSystem, other: MultiHeadSystem) -> None:
    assert one.names == other.names
    np.testing.assert_allclose(one.weights, other.weights, rtol=1e-15)
    for head in range(one.heads):
        assert np.array_equal(one.head_array(head), other.head_array(head))


@pytest.mark.parametrize("suffix", TEXT)
@pytest.mark.parametrize("names", [NAMES, None], ids=["named", "numbered"])
def test_there_and_back(tmp_path: Path, suffix: str, names: tuple[str, ...] | None) -> None:
    path = tmp_path / f"graph.{suffix}"
    if suffix in ("txt", "edges") and names:
        names = ("u", "v", "w", "τ")
    engine.write_graph(example2(names), path)
    same(engine.read_graph(path, self_loops="keep"), example2(names))


ODD_NAMES = [
    "#a",
    " a ",
    "",
    "source",
    "01",
    "1",
    "0",
    "a,b",
    "a\tb",
    "a\nb",
    "\n#x",
    "&lt;",
    "\x94",
]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(TEXT),
    st.lists(st.text(max_size=4) | st.sampled_from(ODD_NAMES), min_size=1, max_size=6, unique=True),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_anything_there_and_back(
    tmp_path: Path, suffix: str, names: list[str], named: bool, seed: int
) -> None:
    """Nodes and heads without edges, names that look like something else: kept, or refused."""
    rng = np.random.default_rng(seed)
    heads, n = rng.integers(1, 4), len(names)
    weights = np.tril(rng.random((heads, n, n)) * (rng.random((heads, n, n)) < 0.4))
    system = MultiHeadSystem.from_weights(
        weights, rng.random(heads) + 0.1, names=names if named else None
    )
    path = tmp_path / f"graph.{suffix}"
    refusal = ""
    try:
        engine.write_graph(system, path)
    except GraphFileError as error:
        refusal = str(error)
    if refusal:
        assert named
        assert suffix != "json"
        assert re.search(
            "name .* (edge list|control characters|XML cannot hold|not text)", refusal, re.DOTALL
        )
        return
    found = engine.read_graph(path, self_loops="keep")
    expected = None if system.names == tuple(map(str, range(n))) else system.names
    assert found.names == expected
    same(found, dataclasses.replace(system, names=expected))


@pytest.mark.parametrize("suffix", ["csv", "mtx", "npz"])
def test_the_old_file_stays_when_writing_fails(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"graph.{suffix}"
    engine.write_graph(topology("line", 5), path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(GraphFileError, match="cannot be written: No space left"):
        engine.write_graph(topology("line", 7), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_that_is_not_text_is_refused_with_a_message(tmp_path: Path) -> None:
    system = MultiHeadSystem.from_edges([[(0, 1)]], names=["a", "\ud800"])
    for suffix in ("csv", "graphml", "gml"):
        with pytest.raises(GraphFileError, match="name"):
            engine.write_graph(system, tmp_path / f"graph.{suffix}")
        assert not list(tmp_path.iterdir())


def test_a_head_for_every_edge_is_refused_with_the_number(tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    path.write_text("".join(f"{k % 500},{k % 500 + 1},1,h{k}\n" for k in range(60_000)))
    with pytest.raises(TooLargeError, match=r"60,000 heads of 501 nodes would take [\d.,]+ GiB"):
        engine.read_graph(path)


@pytest.mark.parametrize("suffix", ["csv", "npz", "mtx"])
def test_weights_out_of_range_are_named_and_faint_ones_are_none(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"graph.{suffix}"

    def write(weight: float) -> None:
        if suffix == "csv":
            path.write_text(f"a,b,{weight!r}\nb,c,1\n")
            return
        matrix = scipy.sparse.csr_array([[1.0, 0, 0], [weight, 1, 0], [0, 1, 1]])
        write = scipy.io.mmwrite if suffix == "mtx" else scipy.sparse.save_npz
        write(path, matrix)

    write(1e300)
    with pytest.raises(GraphFileError, match=r"above 1e\+100: 1e\+300"):
        engine.read_graph(path)
    write(1e-310)
    assert engine.read_graph(path).unreachable() == [0]


@pytest.mark.parametrize("suffix", ["mtx", "npz"])
@pytest.mark.parametrize("name", ["line", "learned"])
def test_matrices_there_and_back(tmp_path: Path, suffix: str, name: str) -> None:
    system = topology(name, 600)
    path = tmp_path / f"graph.{suffix}"
    engine.write_graph(system, path)
    same(engine.read_graph(path, self_loops="keep"), system)
    read = scipy.io.mmread(path) if suffix == "mtx" else scipy.sparse.load_npz(path)
    assert np.array_equal(read.toarray(), system.head_array(0))


def test_matrices_hold_one_head(tmp_path: Path) -> None:
    with pytest.raises(GraphFileError, match="holds one head, not 2"):
        engine.write_graph(example2(), tmp_path / "graph.mtx")


@pytest.mark.parametrize("suffix", ["graphml", "gml", "json"])
def test_networkx_reads_what_is_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"graph.{suffix}"
    engine.write_graph(example2(), path)
    if suffix == "graphml":
        graph = nx.read_graphml(path, force_multigraph=True)
    elif suffix == "gml":
        graph = nx.read_gml(path)
    else:
        graph = nx.node_link_graph(json.loads(path.read_text()), edges="edges")
    assert list(graph.nodes) == list(NAMES)
    same(engine.from_networkx(graph, self_loops="keep"), example2())


@pytest.mark.parametrize("suffix", ["graphml", "gml", "json"])
def test_what_networkx_writes_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"graph.{suffix}"
    graph = engine.to_networkx(example2(("u", "v", "w", "t")))
    if suffix == "graphml":
        nx.write_graphml(graph, path)
    elif suffix == "gml":
        nx.write_gml(graph, path)
    else:
        path.write_text(json.dumps(nx.node_link_data(graph, edges="links")))
    same(engine.read_graph(path, self_loops="keep"), example2(("u", "v", "w", "t")))


def test_networkx_and_scipy_there_and_back() -> None:
    same(engine.from_networkx(engine.to_networkx(example2()), self_loops="keep"), example2())
    numbered = example2(None)
    scipy_heads = engine.to_scipy(numbered)
    same(engine.from_scipy(scipy_heads, weights=[0.6, 0.4]), numbered)
    with pytest.raises(EngineError, match="undirected"):
        engine.from_networkx(nx.Graph([(0, 1)]))


@pytest.mark.parametrize("format_name", ["csr", "csc", "coo"])
def test_scipy_formats(tmp_path: Path, format_name: str) -> None:
    matrix = scipy.sparse.random_array((50, 50), density=0.1, rng=np.random.default_rng(0))
    lower = scipy.sparse.tril(matrix, format=format_name)
    scipy.sparse.save_npz(tmp_path / "a.npz", lower)
    system = engine.read_graph(tmp_path / "a.npz", self_loops="keep")
    assert np.array_equal(system.head_array(0), lower.toarray())


def test_headerless_lists_comments_and_numbers_in_order(tmp_path: Path) -> None:
    path = tmp_path / "edges.txt"
    path.write_text("# a comment\n10 12 0.5\n\n2 10\n2\t12\n")
    system = engine.read_graph(path)
    assert system.names == ("2", "10", "12")
    assert system.head_array(0).tolist() == [[1, 0, 0], [1, 1, 0], [1, 0.5, 1]]


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        ("json", '{"nodes": [{"id": "a"}, {"id": "b"}], "links": [{"source": 0, "target": "b"}]}'),
        ("gml", "graph [ directed 1 node [ id 1 ] node [ id 2 ] edge [ source 0 target 2 ] ]"),
        (
            "graphml",
            '<graphml><graph edgedefault="directed"><node id="a"/><edge source="0" target="a"/>'
            "</graph></graphml>",
        ),
    ],
)
def test_an_edge_to_a_node_that_is_not_listed_is_named(
    tmp_path: Path, suffix: str, text: str
) -> None:
    """A typo, or D3's links by place: it would become a node of its own."""
    path = tmp_path / f"graph.{suffix}"
    path.write_text(text)
    with pytest.raises(GraphFileError, match="does not list: 0"):
        engine.read_graph(path)


def test_nodes_are_put_in_topological_order(tmp_path: Path) -> None:
    path = tmp_path / "graph.csv"
    path.write_text("source,target\nsink2,sink\nb,sink2\na,b\na,sink\n")
    assert engine.read_graph(path).names == ("a", "b", "sink2", "sink")


def test_order_is_kept_when_it_will_do(tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    nodes = [{"id": name} for name in "xbay"]
    edges = [{"source": "x", "target": "y"}, {"source": "b", "target": "y"}]
    path.write_text(json.dumps({"nodes": nodes, "edges": edges}))
    assert engine.read_graph(path).names == ("x", "b", "a", "y")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_any_shuffled_dag_gets_an_order(tmp_path: Path, nodes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    label = rng.permutation(nodes)
    pairs = [(i, j) for j in range(nodes) for i in range(j) if rng.random() < 0.2]
    document = {
        "nodes": [{"id": int(node)} for node in range(nodes)],
        "edges": [{"source": int(label[i]), "target": int(label[j])} for i, j in pairs],
    }
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(document))
    system = engine.read_graph(path, self_loops="keep")
    names = system.names or [str(node) for node in range(nodes)]
    receivers, senders = np.nonzero(system.head_array(0))
    found = {(names[i], names[j]) for i, j in zip(senders, receivers, strict=True)}
    assert found == {(str(label[i]), str(label[j])) for i, j in pairs}


def test_a_cycle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "graph.csv"
    path.write_text("source,target\na,b\nb,c\nc,d\nd,b\nd,e\n")
    with pytest.raises(
        GraphFileError, match=r"cyclic: (b → c → d → b|c → d → b → c|d → b → c → d)"
    ):
        engine.read_graph(path)


def test_everything_wrong_is_reported_at_once(tmp_path: Path) -> None:
    path = tmp_path / "graph.csv"
    path.write_text("source,target,weight\na,b,-1\nb,c,nan\nc,a,1\nc,d,1\n")
    with pytest.raises(GraphFileError) as caught:
        engine.read_graph(path)
    text = str(caught.value)
    assert len(caught.value.problems) == 3
    assert "-1 (a → b)" in text
    assert "nan (b → c)" in text
    assert "cyclic" in text


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("a,b,1,-1\nb,c,2,1\n", "not finite and >= 0"),
        ("a,b,1,nan\nb,c,2,1\n", "not finite and >= 0"),
        ("a,b,1,0\nb,c,2,0\n", "all zero"),
        ("a,b,1,1\nb,c,1,2\n", "differ within a head: head 1"),
        ("a,b,1,1\nb,c,2,\n", "without a head weight, where others have one: 2"),
    ],
)
def test_head_weights_of_a_file_are_checked(tmp_path: Path, rows: str, problem: str) -> None:
    path = tmp_path / "graph.csv"
    path.write_text("source,target,head,head_weight\n" + rows)
    with pytest.raises(GraphFileError, match=problem) as caught:
        engine.read_graph(path)
    assert str(path) in str(caught.value)


def test_several_files_are_heads_matched_by_name(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("source,target\nu,v\nv,w\nw,t\n")
    (tmp_path / "two.csv").write_text("source,target\nu,w\nv,w\nv,t\nw,t\n")
    system = engine.read_graph([tmp_path / "one.csv", tmp_path / "two.csv"])
    assert system.names == ("u", "v", "w", "t")
    assert engine.fidelity(system).minimax == pytest.approx(5 / 12)


def test_undirected_edges_need_a_word(tmp_path: Path) -> None:
    for suffix, write in (("graphml", nx.write_graphml), ("gml", nx.write_gml)):
        path = tmp_path / f"graph.{suffix}"
        write(nx.Graph([("a", "b"), ("c", "b")]), path)
        with pytest.raises(GraphFileError, match="undirected"):
            engine.read_graph(path)
        ordered = engine.read_graph(path, undirected="order")
        assert ordered.head_array(0).tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 1]]


def test_nodes_cut_off_are_named(tmp_path: Path) -> None:
    path = tmp_path / "graph.csv"
    path.write_text("source,target\na,b\na,c\nx,c\n")
    found = engine.structure(engine.read_graph(path))
    assert found.notes == (
        "1 sink other than the last node: b",
        "1 source other than the first node: x",
        "1 node without a way to the sink: mixing time infinite, fidelity 0: b",
    )
    with pytest.raises(UnreachableError, match="b"):
        engine.read_graph(path, unreachable="error")


@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_structure_agrees_between_layouts(layout: str) -> None:
    found = engine.structure(topology("erdos_renyi", 60, probability=0.05, heads=2, layout=layout))
    other = engine.structure(topology("erdos_renyi", 60, probability=0.05, heads=2, layout="dense"))
    assert found == other
    assert found.sinks
    loops = engine.structure(topology("learned", 9, strength=1.0, pattern="previous"))
    assert loops.loopless == tuple(range(1, 9))


BOMB = """<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<graphml><graph edgedefault="directed"><node id="&b;"/></graph></graphml>"""

HOSTILE = {
    "bomb.graphml": BOMB,
    "external.graphml": '<!DOCTYPE x SYSTEM "file:///etc/passwd"><graphml/>',
    "deep.graphml": "<graphml>" + "<a>" * 100_000,
    "notgraph.graphml": "<svg/>",
    "cut.graphml": '<graphml><graph><node id="a"',
    "empty.graphml": "",
    "nested.graphml": '<graphml><graph><node id="a"><graph/></node></graph></graphml>',
    "hyper.graphml": "<graphml><graph><hyperedge/></graph></graphml>",
    "endless.graphml": "<graphml><graph><edge/></graph></graphml>",
    "deep.gml": "graph [ " + "a [ " * 100_000,
    "cut.gml": 'graph [ node [ id 0 label "',
    "odd.gml": "] ]",
    "two.gml": "graph [ ] graph [ ]",
    "quotes.gml": 'graph [ "a" [ ] ]' * 1000,
    "deep.json": "[" * 1_000_000,
    "number.json": "7",
    "big.json": '{"nodes": [{"id": ' + "9" * 10_000 + '}], "edges": []}',
    "types.json": '{"nodes": [1, null, {"id": []}], "edges": [3, {"source": {}}]}',
    "cut.json": '{"nodes": [',
    "empty.csv": "",
    "zero.csv": "a\0b,c\n",
    "short.csv": "a\nb\n",
    "quote.csv": 'source,target\n"a,b\n',
    "words.csv": "source,target,weight\na,b,heavy\n",
    "latin.csv": "a,\udcff\n",
    "encoding.graphml": '<?xml version="1.0" encoding="UVF-8"?><graphml/>',
    "empty.mtx": "",
    "banner.mtx": "%%MatrixMarket tensor\n",
    "huge.mtx": "%%MatrixMarket matrix coordinate real general\n9 9 999999999999\n1 1 1\n",
    "wide.mtx": "%%MatrixMarket matrix coordinate real general\n3 4 1\n1 1 1\n",
    "cut.mtx": "%%MatrixMarket matrix coordinate real general\n3 3 2\n1 1 1\n",
    "outside.mtx": "%%MatrixMarket matrix coordinate real general\n3 3 1\n9 1 1\n",
    "complex.mtx": "%%MatrixMarket matrix coordinate complex general\n1 1 1\n1 1 1 1\n",
    "words.mtx": "%%MatrixMarket matrix coordinate real general\nthree 3 1\n",
    "none.npz": "PK",
    "what.xyz": "",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_with_a_reason(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(HOSTILE[name].encode("utf-8", "surrogateescape"))
    with pytest.raises(EngineError) as caught:
        engine.read_graph(path)
    assert all(str(path) in problem for problem in caught.value.problems)
    assert len(str(caught.value)) < 2000


def test_more_nodes_than_memory_are_refused_with_the_number(tmp_path: Path) -> None:
    path = tmp_path / "wide.mtx"
    path.write_text(
        "%%MatrixMarket matrix coordinate real general\n2000000000 2000000000 1\n1 1 1\n"
    )
    with pytest.raises(TooLargeError, match=r"would take [\d.,]+ GiB"):
        engine.read_graph(path)


def test_there_is_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(GraphFileError, match="no such file"):
        engine.read_graph(tmp_path / "absent.gml")
    with pytest.raises(GraphFileError, match="cannot be written"):
        engine.write_graph(example2(), tmp_path / "absent" / "graph.gml")
    with pytest.raises(GraphFileError, match="written as"):
        engine.write_graph(example2(), tmp_path / "graph.png")


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from([*TEXT, "mtx", "npz"]), st.integers(0, 2**32 - 1))
def test_garbled_files_give_a_system_or_an_engine_error(
    tmp_path: Path, suffix: str, seed: int
) -> None:
    path = tmp_path / f"graph.{suffix}"
    system = example2() if suffix in TEXT else example2(None).head(1)
    engine.write_graph(system, path)
    rng = np.random.default_rng(seed)
    data = bytearray(path.read_bytes())
    for _ in range(rng.integers(1, 6)):
        data[rng.integers(len(data))] = rng.integers(256)
    path.write_bytes(bytes(data[: rng.integers(len(data))] if rng.random() < 0.3 else data))
    with contextlib.suppress(EngineError):
        assert engine.read_graph(path).nodes >= 1


@pytest.mark.parametrize(
    "text",
    [
        "coordinate real symmetric\n% a comment\n3 3 3\n1 1 1\n2 2 .5\n3 3 2\n",
        "coordinate pattern general\n3 3 3\n1 1\n2 1\n3 2\n",
        "coordinate integer general\n3 3 0\n",
        "array real general\n2 2\n1\n2\n0\n3\n",
        "array real symmetric\n2 2\n1\n0\n3\n",
    ],
    ids=lambda text: text.split("\n")[0],
)
def test_matrix_market_reads_as_scipy_does(tmp_path: Path, text: str) -> None:
    path = tmp_path / "graph.mtx"
    path.write_text(f"%%MatrixMarket matrix {text}")
    expected = scipy.io.mmread(path)
    expected = expected if isinstance(expected, np.ndarray) else expected.toarray()
    np.testing.assert_array_equal(read_market(path).toarray(), expected)
