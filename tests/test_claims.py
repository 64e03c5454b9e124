"""The ledger's rules: what is asked, how a number is judged, what is refused."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lib import claims
from lib.claims import CLAIMS, Measurement, measure
from lib.rules import Claim, Condition


def exactly(quantity, value):
    return Measurement(quantity, value, value, value)


def test_all_claims_stand_in_order_and_those_of_finished_chapters_have_rules():
    assert " ".join(CLAIMS) == "A1 A2 A3 A4 A5 A6 A7 B1 B2 B3 B4 B5 C1 C2 C3 C4 C5 C6 D1"
    assert [id for id, claim in CLAIMS.items() if claim.conditions] == [id for id in CLAIMS if id != "D1"]


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=20))
def test_interval_is_the_t_interval(values):
    m = measure("x", values)
    if np.ptp(values) > 1e-6:
        low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
        np.testing.assert_allclose([m.value, m.low, m.high], [np.mean(values), low, high], rtol=1e-6, atol=1e-9)
    assert m.low <= m.value <= m.high


@pytest.mark.parametrize(
    ("condition", "holds", "fails"),
    [
        (Condition("x", at_least=0.85), 0.85, 0.849),
        (Condition("x", above=1, at_most=2), 2.0, 1.0),
        (Condition("x", above=1, at_most=2), 1.001, 2.001),
        (Condition("x", above=-0.1, below=0.1), -0.09, 0.1),
    ],
)
def test_bounds_are_kept_at_their_edges(condition, holds, fails):
    assert condition.holds(exactly("x", holds))
    assert not condition.holds(exactly("x", fails))


def test_an_interval_must_lie_inside_as_a_whole():
    slope = CLAIMS["A2"].conditions[0].quantity
    assert CLAIMS["A2"].judge([Measurement(slope, -1, -1.09, -0.91)]) == "reproduced"
    assert CLAIMS["A2"].judge([Measurement(slope, -1, -1.11, -0.91)]) == "not reproduced"
    assert CLAIMS["A2"].judge([Measurement(slope, -1, -1.09, -0.89)]) == "not reproduced"


@pytest.mark.parametrize(
    ("ratio", "shuffled", "online", "verdict"),
    [
        (0.9, 0.0, 1.0, "reproduced"),
        (0.8, 0.0, 1.0, "partly"),
        (0.9, 0.0, 0.9, "partly"),
        (0.8, 0.0, 0.9, "not reproduced"),  # the control alone earns nothing
        (0.9, 0.2, 1.0, "not reproduced"),  # and where it fails, nothing else counts
        (0.9, -0.2, 1.0, "not reproduced"),
    ],
)
def test_first_claim(ratio, shuffled, online, verdict):
    names = [condition.quantity for condition in CLAIMS["A1"].conditions]
    assert (
        CLAIMS["A1"].judge([exactly(*pair) for pair in zip(names, (ratio, shuffled, online), strict=True)]) == verdict
    )


def test_updates_that_align_only_early_are_judged_partly():
    rule = CLAIMS["A7"].conditions
    early = [exactly(c.quantity, 0.1 if "first" in c.quantity else -0.1) for c in rule]
    assert CLAIMS["A7"].judge(early) == "partly"
    assert CLAIMS["A7"].judge([exactly(c.quantity, 0.1) for c in rule]) == "reproduced"
    assert CLAIMS["A7"].judge([Measurement(c.quantity, 0.1, -0.01, 0.2) for c in rule]) == "not reproduced"


def test_rule_says_every_bound():
    numbers = re.findall(r"-?\d\.\d+|\b[12]\b", CLAIMS["A6"].rule)
    assert numbers == ["1", "2", "-1.1", "-0.9"]
    assert str(Condition("x", above=0, interval=True)) == "the 95 % interval of the x is above 0"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: claims.record("A9", seeds=[0], device="cpu"), "there is no claim 'A9'"),
        (lambda: claims.record("D1", seeds=[0], device="cpu"), "claim D1 has no rule yet"),
        (lambda: claims.record("A2", seeds=[0], device="cpu"), "claim A2 lacks the measurement of: slope"),
        (
            lambda: CLAIMS["A2"].judge([exactly(CLAIMS["A2"].conditions[0].quantity, -1), exactly("y", 1)]),
            "one measurement",
        ),
        (lambda: CLAIMS["A2"].judge([exactly(CLAIMS["A2"].conditions[0].quantity, -1)] * 2), "one measurement"),
        (lambda: measure("x", [1.0]), "at least 2"),
        (lambda: Measurement("x", 1, float("nan"), 3), "must be finite"),
        (lambda: Measurement("x", 1, 2, 3), "outside"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_a_row_is_text_html_and_json():
    claim = Claim("A2", "more < fewer", "thesis", (Condition("x", at_least=0),))
    row = claims.Row(claim, "reproduced", (Measurement("x", -0.5, -1, 0, "mV"),), (0, 1), "cpu")
    bundle = row._repr_mimebundle_()
    assert bundle["text/plain"].splitlines() == ["A2 reproduced: more < fewer", "  x: -0.5 (-1 to 0) mV"]
    assert 'id="claim-A2"' in bundle["text/html"] and "more &lt; fewer" in bundle["text/html"]
    assert "\N{MINUS SIGN}0.5 (\N{MINUS SIGN}1 to 0) mV" in bundle["text/html"]
    assert bundle[claims.MIME]["measurements"] == [
        {"quantity": "x", "value": -0.5, "low": -1.0, "high": 0.0, "unit": "mV"}
    ]
    assert bundle[claims.MIME]["rule"] == "x is at least 0"


def test_typeset_leaves_hyphens_of_words():
    assert claims.typeset("Llama-2: 1/r^2 - 1 >= -0.5") == "Llama-2: 1/r² \N{MINUS SIGN} 1 ≥ \N{MINUS SIGN}0.5"


def test_what_was_never_reached_is_not_reproduced():
    slope = measure(CLAIMS["A2"].conditions[0].quantity, [-1.0, float("nan")])
    assert not slope.reached
    assert CLAIMS["A2"].judge([slope]) == "not reproduced"
    row = claims.Row(CLAIMS["A2"], "not reproduced", (slope,), (0, 1), "cpu")
    assert "not reached" in repr(row)
    record = row._repr_mimebundle_()[claims.MIME]
    assert json.loads(json.dumps(record, allow_nan=False))["measurements"][0]["value"] is None


BOUNDS = {  # as the design sets them: quantity's beginning -> a value inside, values outside
    ("A1", 0): (0.85, [0.84]),
    ("A1", 1): (0.0, [0.11, -0.11]),
    ("A1", 2): (1.0, [0.94, 1.06]),
    ("A2", 0): (-1.0, [-1.11, -0.89]),
    ("A3", 0): (-1.0, [-1.11, -0.89]),
    ("A4", 0): (0.5, [0.42, 0.54]),
    ("A5", 0): (0.05, [0.11, -0.11]),
    ("A5", 1): (1.0, [0.89, 1.11]),
    ("A6", 0): (1.5, [1.0, 2.1]),
    ("A6", 1): (-1.0, [-1.11, -0.89]),
    ("A7", 0): (0.1, [0.0, -0.1]),
    ("A7", 3): (0.1, [0.0, -0.1]),
}


@pytest.mark.parametrize(("where", "values"), BOUNDS.items())
def test_conditions_have_the_bounds_of_the_design(where, values):
    condition = CLAIMS[where[0]].conditions[where[1]]
    inside, outside = values
    assert condition.holds(exactly(condition.quantity, inside))
    assert not any(condition.holds(exactly(condition.quantity, value)) for value in outside)
