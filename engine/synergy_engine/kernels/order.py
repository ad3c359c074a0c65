"""Kernels on the order of the nodes of a graph: is it causal, and if not, how can it be?"""

from __future__ import annotations

import heapq

import numpy as np
from numba import njit

SORTED, OUTSIDE, UNSORTED = 0, 1, 2
"""What :func:`check_rows` answers."""


@njit(cache=True, nogil=True)
def check_rows(indptr, indices, low, high):
    """Whether rows ``low..high-1`` rise strictly and stay between 0 and their own number."""
    for j in range(low, high):
        before = -1
        for e in range(indptr[j], indptr[j + 1]):
            i = int(indices[e])
            if i < 0 or i > j:
                return OUTSIDE
            if e > indptr[j] and i <= before:
                return UNSORTED
            before = i
    return SORTED


@njit(cache=True, nogil=True)
def by_sender(senders, receivers, nodes):
    """Edges grouped by sender (CSR ``indptr``, ``targets``) and in-degrees, self-loops left out."""
    indptr = np.zeros(nodes + 1, dtype=np.int64)
    waiting = np.zeros(nodes, dtype=np.int64)
    for e in range(senders.shape[0]):
        if senders[e] != receivers[e]:
            indptr[senders[e] + 1] += 1
            waiting[receivers[e]] += 1
    for i in range(nodes):
        indptr[i + 1] += indptr[i]
    cursor = indptr[:-1].copy()
    targets = np.empty(indptr[-1], dtype=np.int32)
    for e in range(senders.shape[0]):
        if senders[e] != receivers[e]:
            targets[cursor[senders[e]]] = receivers[e]
            cursor[senders[e]] += 1
    return indptr, targets, waiting


@njit(cache=True, nogil=True)
def topological(indptr, targets, waiting, rank):
    """Topological order that always takes the ready node of lowest ``rank`` (Kahn).

    ``waiting`` holds in-degrees and is used up. Returns as many nodes as could be ordered: fewer
    than all of them when there is a cycle.
    """
    ready = [(rank[0], np.int64(0)) for _ in range(0)]
    for i in range(waiting.shape[0]):
        if waiting[i] == 0:
            heapq.heappush(ready, (rank[i], np.int64(i)))
    order = np.empty(waiting.shape[0], dtype=np.int64)
    count = 0
    while len(ready) > 0:
        _, node = heapq.heappop(ready)
        order[count] = node
        count += 1
        for e in range(indptr[node], indptr[node + 1]):
            j = targets[e]
            waiting[j] -= 1
            if waiting[j] == 0:
                heapq.heappush(ready, (rank[j], np.int64(j)))
    return order[:count]


@njit(cache=True, nogil=True)
def cycle(senders, receivers, waiting):
    """One cycle among the nodes that :func:`topological` left waiting, along the edges.

    Every such node has a predecessor that waits as well, so walking backwards must meet itself.
    """
    nodes = waiting.shape[0]
    before = np.full(nodes, -1, dtype=np.int64)
    start = -1
    for e in range(senders.shape[0]):
        a, b = senders[e], receivers[e]
        if a != b and waiting[a] > 0 and waiting[b] > 0:
            before[b] = a
            start = b
    seen = np.zeros(nodes, dtype=np.bool_)
    at = start
    while not seen[at]:
        seen[at] = True
        at = before[at]
    found = [at]
    walk = before[at]
    while walk != at:
        found.append(walk)
        walk = before[walk]
    found.append(at)
    return np.array(found[::-1])


@njit(cache=True, nogil=True)
def depth_first(indptr, indices):
    """Postorder of a depth-first search from the sink along what nodes hear, (n,) old numbers.

    ``indptr`` (H, n + 1) holds offsets into the joined ``indices`` of all heads. A node is
    numbered when all it hears are, hence topological; nodes that the sink never hears of are
    searched first, from the last to the first, and so come first. Senders are tried from the
    nearest to the farthest, and the stack is explicit.
    """
    heads, n = indptr.shape[0], indptr.shape[1] - 1
    heard = np.zeros(n, dtype=np.bool_)
    heard[n - 1] = True
    for j in range(n - 1, -1, -1):
        if heard[j]:
            for h in range(heads):
                for e in range(indptr[h, j], indptr[h, j + 1]):
                    heard[indices[e]] = True
    order = np.empty(n, dtype=np.int64)
    count = 0
    seen = np.zeros(n, dtype=np.bool_)
    stack = np.empty(n, dtype=np.int64)
    stack_head = np.empty(n, dtype=np.int64)
    stack_edge = np.empty(n, dtype=np.int64)
    for wanted in (False, True):
        for start in range(n - 1, -1, -1):
            if seen[start] or heard[start] != wanted:
                continue
            depth = 0
            stack[0], stack_head[0], stack_edge[0] = start, 0, indptr[0, start + 1]
            seen[start] = True
            while depth >= 0:
                j, h, e = stack[depth], stack_head[depth], stack_edge[depth]
                if e > indptr[h, j]:
                    stack_edge[depth] = e - 1
                    i = np.int64(indices[e - 1])
                    if not seen[i]:
                        seen[i] = True
                        depth += 1
                        stack[depth], stack_head[depth], stack_edge[depth] = i, 0, indptr[0, i + 1]
                elif h + 1 < heads:
                    stack_head[depth], stack_edge[depth] = h + 1, indptr[h + 1, j + 1]
                else:
                    order[count] = j
                    count += 1
                    depth -= 1
    return order


@njit(cache=True, nogil=True)
def renumber(indptr, indices, weights, order, rank, new_indptr, new_indices, new_weights):
    """Rows in ``order`` with senders renumbered by ``rank``, sorted within each row."""
    weighted = weights.shape[0] > 0
    for k in range(order.shape[0]):
        low = indptr[order[k]]
        start, stop = new_indptr[k], new_indptr[k + 1]
        row = new_indices[start:stop]
        for place in range(stop - start):
            row[place] = rank[indices[low + place]]
        if weighted:
            places = np.argsort(row)
            new_weights[start:stop] = weights[low + places]
            row[:] = row[places]
        else:
            row.sort()


@njit(cache=True, nogil=True)
def total_distance(indptr, indices):
    """Sum of ``receiver - sender`` over all edges."""
    total = 0
    for j in range(indptr.shape[0] - 1):
        for e in range(indptr[j], indptr[j + 1]):
            total += j - indices[e]
    return total
