"""What the analyses count, and how it is shown."""

from __future__ import annotations

from math import prod
from pathlib import Path

import pytest

import archspec
from archspec.report.costs import layers_table, report_html
from archspec.report.figures import bytes_text, count_text
from archspec.report.folding import module_tree

SKIP = """
name: skip
input: [2, 4, 4]
layers:
  - conv: {name: a, filters: 4}
  - conv: {name: b, filters: 8}
  - conv: {name: c, filters: 4}
  - add: a
"""


def simulated_peak(graph: archspec.Graph) -> int:
    """The most elements alive, by asking of every value at every moment whether someone still needs it."""
    needed = [set(node.inputs) for node in graph.nodes] + [set(graph.outputs.values())]
    made = [set(graph.inputs)] + [{node.path} for node in graph.nodes]
    peak = 0
    for moment in range(len(graph.nodes) + 1):
        exists = set().union(*made[: moment + 1])
        later = set().union(*needed[max(0, moment - 1) :]) | made[moment]
        peak = max(peak, sum(prod(graph.shape(path)) for path in exists & later))
    return peak


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "googlenet", "mobilenet_v2"])
def test_peak_activation(name: str) -> None:
    net = archspec.load(name)
    assert net.analyze().totals.peak_activation_bytes == 4 * simulated_peak(net.graph)


def test_a_skip_edge_keeps_its_value_alive() -> None:
    report = archspec.loads(SKIP).analyze()
    # While `c` is made, `a` (4), `b` (8) and `c` (4 channels) are alive.
    assert report.totals.peak_activation_bytes == 4 * 16 * (4 + 8 + 4)


def test_totals_are_the_sums_of_the_layers() -> None:
    report = archspec.analyze("efficientnet_b0", batch=4, dtype="bfloat16")
    totals = report.totals
    for figure in ("params", "buffers", "macs", "flops"):
        assert getattr(totals, figure) == sum(getattr(layer, figure) for layer in report.layers)
    assert totals.macs == 4 * archspec.analyze("efficientnet_b0").totals.macs
    assert totals.flops >= 2 * totals.macs
    assert totals.weight_bytes == 2 * totals.params
    assert report.layers[0].output_bytes == 4 * 2 * prod(report.layers[0].output_shape)


@pytest.mark.parametrize("name", ["resnet50", "efficientnet_b0", "googlenet"])
def test_the_tree_holds_every_figure(name: str) -> None:
    """Folding equal neighbours loses nothing."""
    report = archspec.analyze(name)
    tree = module_tree(report)
    for figure in ("params", "buffers", "macs", "flops", "output_bytes"):
        total = sum(getattr(layer, figure) for layer in report.layers)
        assert sum(child.total(figure) for child in tree.children) == total
    if name == "resnet50":
        layer3 = next(child for child in tree.children if child.path == "layer3")
        assert [child.names for child in layer3.children] == [["0"], ["1", "2", "3", "4", "5"]]


def test_batch_norm_over_one_value_warns_unless_the_batch_is_larger() -> None:
    net = archspec.loads("input: [8, 4, 4]\nlayers:\n  - global_avg_pool\n  - batch_norm\n")
    (warning,) = net.analyze().diagnostics
    assert (warning.code, warning.severity, str(warning.span)) == ("statistics", "warning", "<spec>:4:5")
    assert net.analyze(batch=2).diagnostics == ()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (9408, "9,408"),
        (10_000, "10.0k"),
        (118013952, "118.0M"),
        (1814073344, "1.814G"),
        (2 * 10**12, "2.000T"),
    ],
)
def test_counts_at_a_glance(number: int, text: str) -> None:
    assert count_text(number) == text


def test_bytes_at_a_glance() -> None:
    assert [bytes_text(n) for n in (480, 46758048, 3 * 10**9)] == ["480 B", "46.8 MB", "3.0 GB"]


def test_reports_show_themselves() -> None:
    net = archspec.load("resnet18")
    report = net.analyze()
    assert repr(net) == "Network('resnet18', 69 layers, 11,689,512 params, 1,814,073,344 MACs)"
    assert repr(report) == "Report('resnet18', 69 layers, 11,689,512 params, 1,814,073,344 MACs)"
    assert str(report).splitlines()[0] == "resnet18: input 3x224x224, batch 1, float32"
    assert net._repr_html_() == report_html(report)
    assert report_html(report).count("<tr>") == 19


def test_html_escapes() -> None:
    report = archspec.loads("input: [4]\nlayers:\n  - relu\n", name="<img src=x onerror=alert(1)>").analyze()
    assert "<img" not in report_html(report)


def test_wrong_calls() -> None:
    with pytest.raises(archspec.UsageError, match="did you mean `bfloat16`"):
        archspec.analyze("lenet5", dtype="bflaot16")
    with pytest.raises(archspec.UsageError, match="a batch of 0"):
        archspec.analyze("lenet5", batch=0)


def test_a_wrong_op_leaves_the_rest_to_be_analysed() -> None:
    text = "input: [8, 6, 6]\nparams: {p: 3}\nlayers: [relu, {dropout: $p}, {conv: 8}]\n"
    with pytest.raises(archspec.SpecError) as caught:
        archspec.loads(text)
    partial = caught.value.partial
    assert partial is not None
    assert [(layer.path, layer.inputs) for layer in partial.analyze().layers] == [
        ("relu", ("input",)),
        ("conv", ("relu",)),
    ]
    assert "2 layers" in repr(partial)


@pytest.mark.parametrize("more", ["{conv: 8}", "{sequential: [relu]}"])
def test_a_folded_scope_counts_all_its_layers(more: str) -> None:
    leaf = "leaf: {layers: [relu, tanh]}"
    blocks = f"{{{leaf}, mid: {{layers: [leaf, leaf, leaf]}}, top: {{layers: [mid]}}}}"
    net = archspec.loads(f"input: [8, 6, 6]\nblocks: {blocks}\nlayers: [{{top: {{name: only}}}}, {more}]\n")
    row = next(row for row in layers_table(net.analyze(), 1).rows if row[0] == "only")
    assert row[2] == "6 layers"


def test_scopes_fold_where_they_are_wired_alike() -> None:
    blocks = "{res: {layers: [{relu: {name: r}}, {tanh: {name: t}}, {add: [t, input]}]}, "
    blocks += "rez: {layers: [{relu: {name: r}}, {tanh: {name: t}}, {add: [t, r]}]}}"
    layers = "[{res: {name: a}}, {res: {name: b}}, {rez: {name: c}}]"
    net = archspec.loads(f"input: [8]\nblocks: {blocks}\nlayers: {layers}\n")
    assert [row[0] for row in layers_table(net.analyze(), 1).rows] == ["a … b", "c"]


def test_what_is_loaded_is_its_own() -> None:
    """Documents and what is compiled of them are kept from load to load; what users get of them is theirs."""
    unit = '{params: {m: [3]}, layers: [linear: "${m[0] + n[0]}"]}'
    text = f"input: [4]\nparams: {{n: [1, 2]}}\nblocks: {{b: {unit}}}\nlayers: [b]\n"
    given = [5, 6]
    first, other = archspec.loads(text), archspec.loads(text, n=given)
    given[0] = first.params["n"][0] = 100
    first.graph.nodes[0].scope.arguments["m"][0] = 100
    assert other.params == {"n": [5, 6]}
    assert archspec.loads(text).params == {"n": [1, 2]}
    assert archspec.loads(text).graph.node("b.linear").shape == (4,)


def test_warnings_of_two_files_are_two(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(f"blocks:\n  {name}:\n    layers: [batch_norm]\n", encoding="utf-8")
    spec = tmp_path / "net.yaml"
    spec.write_text("include: [a, b]\ninput: [8, 4, 4]\nlayers: [global_avg_pool, a, b]\n", encoding="utf-8")
    assert len(archspec.load(spec).check()) == 2


def test_a_link_that_leads_elsewhere_is_followed_anew(tmp_path: Path) -> None:
    for name, op in (("x", "relu"), ("y", "tanh")):
        (tmp_path / f"{name}.yaml").write_text(f"blocks: {{{name}: {{layers: [{op}]}}}}\n", encoding="utf-8")
    (tmp_path / "w.yaml").write_text("include: [z]\nblocks: {w: {layers: [x]}}\n", encoding="utf-8")
    spec, link = tmp_path / "net.yaml", tmp_path / "z.yaml"
    spec.write_text("include: [x, y, w]\ninput: [8]\nlayers: [x, y, w]\n", encoding="utf-8")
    link.symlink_to(tmp_path / "x.yaml")
    assert len(archspec.load(spec).graph) == 3
    link.unlink()
    link.symlink_to(tmp_path / "y.yaml")
    with pytest.raises(archspec.SpecError, match="unknown op `x`"):
        archspec.load(spec)
