"""Kernels that say how much each dense head, and each pair in turn, carries between two states.

Eight steps lie side by side: ``befores[a]`` are the sink's rows ``v_s[a]`` of eight steps s, and
``afters[b]`` the columns that meet them. Each entry of a head is then fetched once for all eight.
"""

from __future__ import annotations

from numba import njit

from synergy_engine.kernels.lanes import WIDTH, add, add_times, load, spread, store, sum_of, times


@njit(cache=True, nogil=True)
def move(heads, scales, lowest, befores, afters, low, high, forth, back):
    """``forth[k] = Σ_a v[a] D_k[a]`` and ``back[k, a] = D_k[a] · w``, for heads ``low..high-1``.

    ``D_k`` are raw heads (K, n, n) with reciprocal row sums ``scales`` (K, n). ``befores`` and
    ``afters`` are flat (n · 8); ``forth`` and ``back`` (K, n · 8). Nodes below ``lowest`` have no
    part. Without ``afters`` (empty), ``back`` is left alone.
    """
    n = scales.shape[1]
    both = afters.shape[0] > 0
    for k in range(low, high):
        moved = forth[k]
        moved[:] = 0.0
        for a in range(lowest, n):
            row = heads[k, a]
            scale = scales[k, a]
            if scale == 0.0:
                store(moved, WIDTH * a, add(load(moved, WIDTH * a), load(befores, WIDTH * a)))
                if both:
                    store(back[k], WIDTH * a, load(afters, WIDTH * a))
                continue
            here = times(spread(scale), load(befores, WIDTH * a))
            one = other = spread(0.0)
            if both:
                b = lowest
                while b < a:
                    place = WIDTH * b
                    first, second = row[b], row[b + 1]
                    store(moved, place, add_times(load(moved, place), first, here))
                    one = add_times(one, first, load(afters, place))
                    place += WIDTH
                    store(moved, place, add_times(load(moved, place), second, here))
                    other = add_times(other, second, load(afters, place))
                    b += 2
                if b == a:
                    place = WIDTH * a
                    store(moved, place, add_times(load(moved, place), row[a], here))
                    one = add_times(one, row[a], load(afters, place))
                store(back[k], WIDTH * a, times(spread(scale), add(one, other)))
            elif _any(befores, WIDTH * a):
                for b in range(lowest, a + 1):
                    place = WIDTH * b
                    store(moved, place, add_times(load(moved, place), row[b], here))


@njit(cache=True, nogil=True)
def _any(values, place):
    found = False
    for offset in range(WIDTH):
        found |= values[place + offset] != 0.0
    return found


@njit(cache=True, nogil=True)
def meet(forth, others, first, low, high, out):
    """Add ``Σ forth[k] · others[l]`` to ``out[k, l]`` for k in ``low..high-1``, from ``first`` on.

    ``forth`` (K, m) and ``others`` (L, m), m a multiple of eight.
    """
    size = forth.shape[1]
    for k in range(low, high):
        mine = forth[k]
        for m in range(others.shape[0]):
            theirs = others[m]
            one = other = spread(0.0)
            place = first
            while place + WIDTH < size:
                one = add(one, _product(mine, theirs, place))
                other = add(other, _product(mine, theirs, place + WIDTH))
                place += 2 * WIDTH
            if place < size:
                one = add(one, _product(mine, theirs, place))
            out[k, m] += sum_of(add(one, other))


@njit(cache=True, nogil=True)
def _product(mine, theirs, place):
    return times(load(mine, place), load(theirs, place))
