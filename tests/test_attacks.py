"""A sample of the attacks of `tests/attacks.py`, which runs any number of them: specs of every kind, and each race."""

from __future__ import annotations

from pathlib import Path

import attacks
import pytest
from attacks import FAILURES, KINDS, RACES, Failure, Outcome, attack, empty_folder, made, run

import archspec


@pytest.mark.parametrize("kind", KINDS)
def test_specs(kind: str) -> None:
    """The limits of time hold for a process that does nothing else; here the work is bounded by `test_bounds.py`."""
    with empty_folder():
        failed, outcomes = run(range(20), only=kind, limits=False)
    assert failed == []
    assert sum(outcomes.values()) == 20


@pytest.mark.parametrize("path", sorted(FAILURES.glob("*.yaml")), ids=lambda path: path.stem)
def test_past_failures_stay_mended(path: Path) -> None:
    with empty_folder():
        attack(path.read_bytes().decode(), Outcome())


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.__name__)
def test_races(race: attacks.Race) -> None:
    assert race(max(3, RACES[race] // 300))


# An attack that finds nothing whatever happens would be no attack.

NETWORK = "input: [3]\nlayers: [relu]\n"


def test_an_exception_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(text: str) -> archspec.Network:
        raise RecursionError(text)

    monkeypatch.setattr(archspec, "loads", crash)
    with empty_folder(), pytest.raises(Failure, match="RecursionError: x"):
        attack("x", Outcome())


def test_a_changed_process_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = archspec.loads

    def writing(text: str) -> archspec.Network:
        Path("left.txt").write_text(text, encoding="utf-8")
        return loads(text)

    monkeypatch.setattr(archspec, "loads", writing)
    with empty_folder(), pytest.raises(Failure, match="the state of the process changed"):
        attack(NETWORK, Outcome())


def test_a_costly_spec_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What fails is written to a file, with what was wrong."""
    monkeypatch.setattr(attacks, "MAX_MEGABYTES", 0)
    monkeypatch.setattr(attacks, "FAILURES", tmp_path)
    with empty_folder():
        (failed,), _ = run(range(1), only="garbage")
    assert "seed 0, garbage: " in failed
    assert (tmp_path / "garbage_0.yaml").read_bytes().decode() == made(0, "garbage")[1]


def test_a_file_outside_that_is_read_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archspec.document._is_inside", lambda path, folder: True)
    with pytest.raises(Failure, match="a file outside"):
        attacks.swaps(300)


def test_two_writers_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attacks, "write_text", lambda path, text: Path(path).write_text(text, encoding="utf-8"))
    with pytest.raises(Failure, match="succeeded"):
        attacks.writers(1)


def test_what_is_costly_is_measured_again_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A spec does not fail because the machine is busy, or because of what other attacks left in memory."""
    text = "input: [3]\nlayers: [relu: {repeat: 7}]\n"
    alone = attacks.measured_alone(text)
    assert (alone.word, alone.layers) == ("network", 7)
    assert alone.seconds > 0
    monkeypatch.setattr(attacks, "measured_alone", lambda text: alone)
    costly = Outcome()
    costly.seconds = 9.0
    attacks._check_limits(text, costly)
    alone.megabytes = 201.0
    with pytest.raises(Failure, match="201 MB: network, 7 layers"):
        attacks._check_limits(text, costly)
    alone.layers = 1_000_000
    attacks._check_limits(text, costly)


def test_layers_before_a_mistake_are_counted() -> None:
    outcome = Outcome()
    attacks._tried("input: [3]\nlayers: [relu: {repeat: 7}, conv: 9]\n", outcome)
    assert (outcome.word, outcome.layers) == ("shape", 7)
