"""Similarity and nearest neighbours on a Dask cluster, equal to those of one machine.

Workers open the store themselves and send back results only; the client coordinates and merges. Dask is imported by
`open_client`, not before.
"""

from gradstore.cluster.client import open_client
from gradstore.cluster.cluster import Cluster, open_cluster
from gradstore.cluster.neighbours import cluster_lists, cluster_neighbours
from gradstore.cluster.project import cluster_project
from gradstore.cluster.recipe import Recipe

__all__ = [
    "Cluster",
    "Recipe",
    "cluster_lists",
    "cluster_neighbours",
    "cluster_project",
    "open_client",
    "open_cluster",
]
