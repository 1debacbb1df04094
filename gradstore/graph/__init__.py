"""Nearest neighbours of stored gradients: the mixed instruction graph."""

from gradstore.graph.build import build_graph
from gradstore.graph.exact import exact_neighbours
from gradstore.graph.graph import Graph, load_graph
from gradstore.graph.links import Link
from gradstore.graph.nodes import Nodes, Part
from gradstore.graph.sets import open_nodes

__all__ = [
    "Graph",
    "Link",
    "Nodes",
    "Part",
    "build_graph",
    "exact_neighbours",
    "load_graph",
    "open_nodes",
]
