"""Keys to rows: the bookkeeping behind state that stays on the device."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.device.slots import SlotTable


def test_a_key_keeps_its_row():
    table = SlotTable((1, 2, 4, 8))
    first = table.assign("ab")
    second = table.assign("bac")
    assert first.rows.tolist() == [0, 1]
    assert second.rows.tolist() == [1, 0, 2]
    assert second.sizes == (4,)
    assert second.keep.tolist() == [1, 1, 0, 0, 0, 0, 0, 0]


def test_few_people_do_not_pay_for_many():
    table = SlotTable((1, 2, 4, 8))
    table.assign("abcde")
    lone = table.assign("e")
    assert lone.moves == ((4, 0),)
    assert lone.rows.tolist() == [0]
    assert lone.sizes == (1,)
    assert lone.keep[0] == 1


def test_a_reset_key_keeps_its_row_but_not_its_state():
    table = SlotTable((2,))
    table.assign("ab")
    assert table.assign("ab", {"a"}).keep.tolist() == [0, 1]
    assert table.assign("ab").keep.tolist() == [1, 1]


def test_more_people_than_rows_use_another_bank():
    table = SlotTable((1, 2))
    assert table.assign("abcde").sizes == (2, 2, 1)
    back = table.assign("ade")
    assert back.sizes == (2, 1)
    assert back.rows.tolist() == [0, 1, 2] or len(set(back.rows.tolist())) == 3
    assert back.keep[back.rows].tolist() == [1, 1, 1]


def test_nobody():
    table = SlotTable((1, 2))
    table.assign("a")
    nobody = table.assign("")
    assert (nobody.sizes, len(nobody.rows)) == ((), 0)
    assert table.assign("a").keep[0] == 0


@pytest.mark.parametrize("sizes", [(1,), (1, 2, 4, 8), (3,), (1, 4, 6)])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_state_always_follows_its_key(sizes, data):
    """Play a run: each row holds a number that a frame raises by one where keep is 1, and sets to one where it is 0."""
    table, capacity = SlotTable(sizes), max(sizes)
    state, age = np.zeros(64, int), {}
    for _ in range(data.draw(st.integers(1, 12))):
        keys = data.draw(st.lists(st.integers(0, 15), unique=True, max_size=14))
        reset = set(data.draw(st.lists(st.sampled_from(keys), max_size=3))) if keys else set()
        where = table.assign(keys, reset)
        sources, targets = {s for s, _ in where.moves}, {t for _, t in where.moves}
        assert not sources & targets
        for source, target in where.moves:
            state[target] = state[source]
        for bank, size in enumerate(where.sizes):
            assert size in sizes
            rows = slice(bank * capacity, bank * capacity + size)
            state[rows] = state[rows] * where.keep[rows].astype(int) + 1
        age = {k: 1 if k in reset else age.get(k, 0) + 1 for k in keys}
        assert state[where.rows].tolist() == [age[k] for k in keys]
        smaller = [s for s in sizes if s >= len(keys) % capacity]
        assert not where.sizes or where.sizes[-1] == (min(smaller) if len(keys) % capacity else capacity)
