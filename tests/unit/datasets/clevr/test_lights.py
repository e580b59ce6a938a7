import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.clevr import lights, solids
from datasets.clevr.scene import RADIUS, Body, Scene
from datasets.clevr.vectors import vector

LAMPS = {"key": (0.001, 0.0, 5.0), "fill": (-4.0, -4.0, 3.0), "back": (-1.0, 2.6, 5.8)}  # one exactly above has no level edge
OVERHEAD, _, _, SUN = lights.lights(Scene((7.5, -6.5, 5.3), LAMPS, ()))
UP = vector((0.0, 0.0, 1.0))
CUBE = Body("cube", "red", False, 0.0, 0.0, (1.0, 0.0))


def at(*points):
    return np.float32(points).T


def test_light_of_a_lamp_falls_with_the_square_of_the_distance_and_the_cosines_at_both_ends():
    points = at((0, 0, 0), (5, 0, 0))
    irradiance, towards = OVERHEAD.irradiance(points, UP)
    below, aside = 1 / 25, 0.5 / 50  # cosines of 45° at floor and lamp, √50 away
    assert irradiance == pytest.approx([below, aside], rel=1e-3)
    assert towards[:, 1] == pytest.approx([-math.sqrt(0.5), 0, math.sqrt(0.5)], abs=1e-3)


def test_the_sun_is_as_strong_everywhere():
    irradiance, _ = SUN.irradiance(at((0, 0, 0), (20, -7, 1)), UP)
    assert irradiance == pytest.approx(0.88892, rel=1e-4)


def test_a_surface_that_is_turned_away_gets_nothing():
    assert OVERHEAD.irradiance(at((0, 0, 0)), -UP)[0] == 0


def test_a_body_hides_the_whole_lamp_from_the_floor_below_and_none_of_it_from_far_away():
    bits = OVERHEAD.hidden(at((0, 0, -0.1), (9, 0, 0)), CUBE)
    assert OVERHEAD.seen(bits).tolist() == [0, 1]


def test_the_edge_of_a_shadow_sees_the_part_of_the_lamp_that_is_beyond_the_edge():
    lamp, cube = 0.5, RADIUS  # half the lamp's width is 0.25, at height 5; the cube's top edge is at (cube, 2 · cube)
    height, top = 5.0, 2 * RADIUS
    x = cube + top * cube / (height - top)  # from here the edge and the lamp's middle are in line
    seen = OVERHEAD.seen(OVERHEAD.hidden(at((x, 0, 0)), CUBE))
    assert seen[0] == pytest.approx(0.5)
    full = x + lamp * top / (height - top)
    assert OVERHEAD.seen(OVERHEAD.hidden(at((full, 0, 0)), CUBE))[0] == 1


@given(st.integers(0, 2**32 - 1))
def test_bodies_that_are_ruled_out_by_their_ball_hide_nothing(seed):
    random = np.random.default_rng(seed)
    points = np.stack([random.uniform(-4, 4, 30), random.uniform(-4, 4, 30), random.uniform(0, 1.2, 30)]).astype(np.float32)
    for light in (OVERHEAD, SUN):
        every = np.zeros(30, np.uint16)
        for k in range(light.samples.shape[1]):
            origin = solids.place(CUBE, points)
            sample = light.samples[:, k]
            ray = solids.turn(CUBE, sample) if light.distant else solids.place(CUBE, sample) - origin
            enter, leave = solids.interval("cube", origin, ray)
            every |= ((np.maximum(enter, 1e-4) < np.minimum(leave, 1)).astype(np.uint16)) << k
        assert np.array_equal(light.hidden(points, CUBE), every)


@given(st.integers(0, 2**16 - 1))
def test_the_seen_part_counts_the_samples_that_are_not_hidden(bits):
    count = OVERHEAD.samples.shape[1]
    assert count == 16
    assert OVERHEAD.seen(np.array([bits], np.uint16))[0] == 1 - bin(bits).count("1") / count


def test_a_body_beyond_the_lamp_hides_nothing():
    assert OVERHEAD.hidden(at((0, 0, -9.5)), CUBE)[0] != 0
    assert OVERHEAD.hidden(at((0, 0, 9.5)), CUBE)[0] == 0
