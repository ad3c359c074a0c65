"""Graphs as spreadsheets, Gephi, yEd, igraph and networkx write them."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import scipy.sparse

import synergy_engine as engine
from synergy_engine.errors import GraphFileError


def edges(system: engine.MultiHeadSystem) -> dict[tuple[str, str], float]:
    """Weights by the names of both ends, self-loops left out."""
    raw = system.head_array(0)
    return {
        (system.name(sender), system.name(receiver)): raw[receiver, sender]
        for receiver, sender in zip(*np.nonzero(raw), strict=True)
        if receiver != sender
    }


def written(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    ["a;b;0,5\nb;c;0,25\n", "Source;Target;Weight\na;b;0,5\nb;c;,25\n", "a;b;0.5\nb;c;0.25\n"],
)
@pytest.mark.parametrize("suffix", [".csv", ".txt"])
def test_semicolons_and_decimal_commas(text: str, suffix: str, tmp_path: Path) -> None:
    found = edges(engine.read_graph(written(tmp_path, "a" + suffix, text)))
    assert found == {("a", "b"): 0.5, ("b", "c"): 0.25}


def test_commas_stay_what_separates_columns(tmp_path: Path) -> None:
    found = edges(engine.read_graph(written(tmp_path, "a.csv", "a;x,b,2\nb,c,3\n")))
    assert found == {("a;x", "b"): 2, ("b", "c"): 3}


def test_undirected_edges_of_gephi(tmp_path: Path) -> None:
    text = "Source,Target,Type,Id,Weight\na,b,Undirected,0,2.0\nb,c,Directed,1,3.0\n"
    path = written(tmp_path, "a.csv", text)
    with pytest.raises(GraphFileError, match=r"undirected edges.*a – b$"):
        engine.read_graph(path)
    assert edges(engine.read_graph(path, undirected="order")) == {("a", "b"): 2, ("b", "c"): 3}


@pytest.mark.parametrize("delimiter", [" ", ",", "\t"])
@pytest.mark.parametrize("data", [True, False])
def test_edge_lists_of_networkx(delimiter: str, data: bool, tmp_path: Path) -> None:
    graph = nx.DiGraph()
    graph.add_edge("u", "v", weight=0.5, colour="red")
    graph.add_edge("v", "w", **({"weight": 2, "note": "a, b"} if data else {}))
    path = tmp_path / "a.edgelist.txt"
    nx.write_edgelist(graph, path, delimiter=delimiter)
    expected = {("u", "v"): 0.5, ("v", "w"): 2.0 if data else 1.0}
    assert edges(engine.read_graph(path)) == expected


def test_braces_that_hold_no_dictionary(tmp_path: Path) -> None:
    with pytest.raises(GraphFileError, match=r"line 1.*not a dictionary"):
        engine.read_graph(written(tmp_path, "a.txt", "u v {__import__('os')}\n"))


def test_a_hash_in_a_quoted_string_of_gml_is_no_comment(tmp_path: Path) -> None:
    text = """# a comment [
graph [ directed 1
  node [ id 0 label "first
# second" ]
  # node [ id 7 ]
  node [ id 1 label "#2" ]
  edge [ source 0 target 1 weight 2 ]
]
"""
    system = engine.read_graph(written(tmp_path, "a.gml", text))
    assert system.names == ("first\n# second", "#2")


def test_a_weight_of_null_is_not_one(tmp_path: Path) -> None:
    text = (
        '{"nodes": [{"id": "a"}, {"id": "b"}],'
        ' "edges": [{"source": "a", "target": "b", "weight": null}]}'
    )
    with pytest.raises(GraphFileError, match=r"not numbers: None \(a → b\)"):
        engine.read_graph(written(tmp_path, "a.json", text))


KEYS = {
    "label": '<key id="d0" for="node" attr.name="label" attr.type="string"/>',
    "name": '<key id="d0" for="node" attr.name="name" attr.type="string"/>',
    "v_name": '<key id="v_name" for="node" attr.type="string"/>',
    "yed": '<key id="d0" for="node" yfiles.type="nodegraphics"/>',
}


@pytest.mark.parametrize("kind", KEYS)
def test_names_of_graphml(kind: str, tmp_path: Path) -> None:
    def node(number: int, name: str) -> str:
        shape = f"<y:ShapeNode><y:NodeLabel>{name}<y:Model/></y:NodeLabel></y:ShapeNode>"
        key = "v_name" if kind == "v_name" else "d0"
        inner = shape if kind == "yed" else name
        return f'<node id="n{number}"><data key="{key}">{inner}</data></node>'

    text = (
        '<graphml xmlns="http://graphml.graphdrawing.org/xmlns" xmlns:y="urn:y">'
        f'{KEYS[kind]}<graph edgedefault="directed">{node(0, "u")}{node(1, "τ")}'
        '<edge source="n0" target="n1"/></graph></graphml>'
    )
    assert engine.read_graph(written(tmp_path, "a.graphml", text)).names == ("u", "τ")


def test_labels_that_nodes_share_are_told_apart(tmp_path: Path) -> None:
    graph = nx.DiGraph([(0, 1), (1, 2)])
    nx.set_node_attributes(graph, {0: "the", 1: "cat", 2: "the"}, "label")
    nx.write_graphml(graph, tmp_path / "a.graphml")
    names = engine.read_graph(tmp_path / "a.graphml").names
    assert names == ("the (0)", "cat", "the (2)")


def test_rows_of_a_networkx_adjacency_send(tmp_path: Path) -> None:
    graph = nx.DiGraph()
    graph.add_weighted_edges_from([(0, 1, 0.5), (1, 2, 3.0), (0, 2, 2.0)])
    matrix = nx.to_scipy_sparse_array(graph, format="csr")
    scipy.sparse.save_npz(tmp_path / "a.npz", matrix)
    expected = {(str(a), str(b)): w for a, b, w in graph.edges(data="weight")}
    assert edges(engine.read_graph(tmp_path / "a.npz", rows="senders")) == expected
    turned = engine.read_graph(tmp_path / "a.npz")
    assert edges(turned) == {(b, a): weight for (a, b), weight in expected.items()}
    assert turned.order is not None
    assert turned.order.tolist() == [2, 1, 0]


def test_the_order_is_that_of_the_files_list(tmp_path: Path) -> None:
    system = engine.read_graph(written(tmp_path, "a.csv", "2,1\n1,0\n2,3\n"))
    assert system.order is not None
    assert [str(number) for number in system.order] == list(system.names or ())
    senders, receivers = zip(*edges(system), strict=True)
    assert set(zip(senders, receivers, strict=True)) == {("2", "1"), ("1", "0"), ("2", "3")}
    assert engine.read_graph(written(tmp_path, "b.csv", "0,1\n1,2\n")).order is None


def test_reordering_keeps_the_files_numbers(tmp_path: Path) -> None:
    lines = "".join(f"{k + 1},{k}\n" for k in range(600))
    system = engine.read_graph(written(tmp_path, "a.csv", lines))
    found = engine.reorder(system).system
    assert found.order is not None
    assert [str(number) for number in found.order] == list(found.names or ())
    assert system.cut(5).order is not None


def test_a_chosen_sink_leaves_out_what_it_reaches(tmp_path: Path) -> None:
    text = "source,target\nu,v\nv,w\nw,x\nu,y\n"
    system = engine.read_graph(written(tmp_path, "a.csv", text), sink="v")
    assert system.names == ("u", "y", "v")
    assert edges(system) == {("u", "v"): 1, ("u", "y"): 1}
    with pytest.raises(GraphFileError, match="no node is called z"):
        engine.read_graph(tmp_path / "a.csv", sink="z")
