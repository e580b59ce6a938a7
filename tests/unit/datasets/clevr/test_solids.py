import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.clevr import solids
from datasets.clevr.scene import RADIUS, SHAPES, Body

unit = st.floats(-1, 1, width=32)
angle = st.floats(0, 2 * math.pi)


def column(*numbers):
    return np.float32(numbers).reshape(3, 1)


def inside(shape, points):
    """Whether local points are in a solid, from its definition."""
    x, y, z = points
    if shape == "sphere":
        return x * x + y * y + z * z <= 1
    level = np.abs(z) <= 1
    return level & (x * x + y * y <= 1) if shape == "cylinder" else level & (np.abs(x) <= 1) & (np.abs(y) <= 1)


@pytest.mark.parametrize("shape", SHAPES)
@given(seed=st.integers(0, 2**32 - 1))
def test_rays_are_in_a_solid_exactly_between_entry_and_exit(shape, seed):
    random = np.random.default_rng(seed)
    origins = (3 * random.normal(size=(3, 40))).astype(np.float32)
    aims = (0.8 * random.normal(size=(3, 40))).astype(np.float32)
    enter, leave = solids.interval(shape, origins, aims - origins)
    steps = np.linspace(-1, 3, 200)[:, None]
    points = origins[:, None] + (aims - origins)[:, None] * steps
    expected = inside(shape, points)
    between = (steps > enter) & (steps < leave)
    sure = np.minimum(np.abs(steps - enter), np.abs(steps - leave)) > 1e-3
    grazing = leave - enter < 1e-3
    assert (expected == between)[sure & ~grazing].all()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_ray_through_the_middle_covers_the_solid_from_one_side_to_the_other(shape):
    enter, leave = solids.interval(shape, column(-3, 0, 0), column(1, 0, 0))
    assert (enter[0], leave[0]) == pytest.approx((2, 4))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_ray_that_misses_leaves_before_it_enters(shape):
    enter, leave = solids.interval(shape, column(-3, 0, 1.5), column(1, 0, 0))
    assert enter[0] > leave[0]


@given(unit, unit, angle)
def test_placing_moves_scales_and_turns(x, y, by):
    body = Body("cube", "red", False, 2 * x, 2 * y, (math.cos(by), math.sin(by)))
    along = column(body.x + RADIUS * math.cos(by), body.y + RADIUS * math.sin(by), RADIUS)  # where its own x axis leaves it
    assert solids.place(body, along).ravel() == pytest.approx([1, 0, 0], abs=1e-5)
    assert solids.place(body, column(*body.centre)).ravel() == pytest.approx([0, 0, 0], abs=1e-6)


@given(angle, angle)
def test_normals_of_a_sphere_point_away_from_its_middle(azimuth, height):
    body = Body("sphere", "red", False, 1.0, -2.0, (0.6, 0.8))
    away = column(math.cos(azimuth) * math.sin(height), math.sin(azimuth) * math.sin(height), math.cos(height))
    point = column(*body.centre) + np.float32(RADIUS) * away
    assert solids.normals(body, point) == pytest.approx(away, abs=1e-5)


def test_normals_of_a_cubes_faces_follow_its_turn_and_round_off_at_an_edge():
    body = Body("cube", "red", False, 0.0, 0.0, (0.6, 0.8))
    face = column(0.6 * RADIUS, 0.8 * RADIUS, RADIUS)
    assert solids.normals(body, face).ravel() == pytest.approx([0.6, 0.8, 0], abs=1e-6)
    edge = column(0.6 * RADIUS, 0.8 * RADIUS, 2 * RADIUS)
    assert solids.normals(body, edge).ravel() == pytest.approx(np.array([0.6, 0.8, 1]) / math.sqrt(2), abs=1e-5)


def test_normals_of_a_cylinder_are_level_on_its_side_and_upright_on_its_lid():
    body = Body("cylinder", "red", False, 0.0, 0.0, (1.0, 0.0))
    assert solids.normals(body, column(0, RADIUS, RADIUS)).ravel() == pytest.approx([0, 1, 0], abs=1e-6)
    assert solids.normals(body, column(0.1, 0.1, 2 * RADIUS)).ravel() == pytest.approx([0, 0, 1], abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_ball_around_a_shape_holds_all_of_it(shape):
    points = np.random.default_rng(0).uniform(-1, 1, (3, 20_000))
    held = points[:, inside(shape, points)]
    reach = RADIUS * np.sqrt((held * held).sum(axis=0)).max()
    assert 0.9 * solids.BOUND[shape] < reach <= solids.BOUND[shape]
