from lib import figures


def test_the_circuit_shows_one_odor_and_two_different_codes():
    figure = figures.circuit(n_neurons=36, activity=0.25)
    left, left_bulb, right, right_bulb = figure.axes[0].collections
    assert (left_bulb.get_sizes() == right_bulb.get_sizes()).all()
    active = [(cells.get_facecolors() != 1).any(axis=1) for cells in (left, right)]
    assert [cells.sum() for cells in active] == [9, 9]
    assert (active[0] != active[1]).any()
