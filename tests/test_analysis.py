"""What the analyses count, and how it is shown."""

from __future__ import annotations

from math import prod
from pathlib import Path

import pytest

import archspec
from archspec.report.analyze import layers_table, report_html
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


def test_a_warning_in_a_block_says_where_the_block_was_called() -> None:
    """Not in which `sequential` it stands: its path says that."""
    text = "input: [8, 4, 4]\nblocks:\n  head: {layers: [global_avg_pool, batch_norm]}\n"
    text += "layers: [{sequential: {name: top, layers: [head: {name: one}]}}]\n"
    (warning,) = archspec.loads(text).analyze().diagnostics
    assert "`top.one.batch_norm`" in warning.message
    assert warning.notes == ("in block head, used as top.one at <spec>:4:44",)


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
    with pytest.raises(archspec.UsageError, match=r"unknown dtype `bflaot16`(.|\n)*did you mean `bfloat16`"):
        archspec.analyze("lenet5", dtype="bflaot16")
    with pytest.raises(archspec.UsageError, match=r"a batch of 0(.|\n)*help: at least 1, and below 2\*\*63$"):
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


TINY = """
name: tiny
input: [2, 4, 4]
blocks: {unit: {layers: [{conv: {name: c, filters: 3, kernel: 3, bias: false}}]}}
layers:
  - inline: [unit, {sequential: [batch_norm]}]
"""


def test_the_costs_as_data() -> None:
    """Every key of the JSON of `analyze`, and what stands there."""
    spec = "<spec>"
    assert archspec.loads(TINY).analyze(batch=2, dtype="float16").to_dict() == {
        "archspec": 1,
        "name": "tiny",
        "input": {"input": [2, 4, 4]},
        "batch": 2,
        "dtype": "float16",
        "conventions": {"macs": "conv+linear+attention", "flops": "2*macs+elementwise"},
        "totals": {
            "layers": 2,
            "depth": 1,
            "params": 60,
            "buffers": 7,
            "macs": 432,
            "flops": 912,
            "weight_bytes": 120,
            "activation_bytes": 96,
            "peak_activation_bytes": 176,
        },
        "outputs": {"sequential.0": [3, 2, 2]},
        "layers": [
            {
                "path": "unit.c",
                "op": "conv",
                "args": {
                    "filters": 3,
                    "kernel": [3, 3],
                    "stride": [1, 1],
                    "padding": [0, 0],
                    "dilation": [1, 1],
                    "groups": 1,
                    "bias": False,
                },
                "inputs": ["input"],
                "input_shapes": [[2, 4, 4]],
                "output_shape": [3, 2, 2],
                "params": 54,
                "buffers": 0,
                "macs": 432,
                "flops": 864,
                "output_bytes": 48,
                "source": {"file": spec, "line": 4, "column": 27},
            },
            {
                "path": "sequential.0",
                "op": "batch_norm",
                "args": {"eps": 1e-05, "momentum": 0.1, "affine": True},
                "inputs": ["unit.c"],
                "input_shapes": [[3, 2, 2]],
                "output_shape": [3, 2, 2],
                "params": 6,
                "buffers": 7,
                "macs": 0,
                "flops": 48,
                "output_bytes": 48,
                "source": {"file": spec, "line": 6, "column": 34},
            },
        ],
        "scopes": {"unit": "unit", "sequential": "sequential"},
        "diagnostics": [],
    }


@pytest.mark.parametrize(
    ("dtype", "size"),
    [("float64", 8), ("float32", 4), ("bfloat16", 2), ("float16", 2), ("float8", 1), ("int8", 1)],
)
def test_bytes_of_a_number(dtype: str, size: int) -> None:
    totals = archspec.analyze("lenet5", dtype=dtype).totals
    assert (totals.weight_bytes, totals.params) == (61_706 * size, 61_706)


def test_depth_follows_the_longest_branch() -> None:
    layers = ["linear: {name: a, units: 4}", "linear: {name: b, units: 4}", "add: {from: [input, b]}"]
    for branch in ("[input, b]", "[b, input]", "[input, a, b]"):
        layers[-1] = f"add: {{from: {branch}}}"
        net = archspec.loads("input: [4]\nlayers:\n" + "".join(f"  - {layer}\n" for layer in layers))
        assert net.analyze().totals.depth == 2


def test_a_network_without_outputs_has_no_depth() -> None:
    with pytest.raises(archspec.SpecError) as caught:
        archspec.loads("input: [4]\nlayers: [linear: 4, {lineal: 4}]\n")
    assert caught.value.partial is not None
    totals = caught.value.partial.analyze().totals
    assert (totals.layers, totals.depth) == (1, 0)


def test_a_value_that_nobody_reads_takes_memory_too() -> None:
    text = "input: [2, 4, 4]\nlayers:\n  - conv: {name: big, filters: 9}\n  - relu: {from: input}\n"
    with pytest.raises(archspec.SpecError, match="unused step `big`: it reaches no output") as caught:
        archspec.loads(text)
    assert caught.value.partial is not None
    graph = caught.value.partial.graph
    assert caught.value.partial.analyze().totals.peak_activation_bytes == 4 * simulated_peak(graph) == 4 * 16 * (2 + 9)


NORMS = """
input: [8, 4, 4]
blocks:
  unit:
    layers:
      - global_avg_pool
      - inline: [batch_norm: {name: norm}]
layers:
  - unit: {repeat: 2}
  - batch_norm: {repeat: 2}
"""


def test_a_warning_for_each_place_that_makes_them() -> None:
    inside, outside = archspec.loads(NORMS).check()
    assert [str(warning.span) for warning in (inside, outside)] == ["<spec>:7:18", "<spec>:10:5"]
    assert "`unit.norm` cannot be trained with a batch of 1" in inside.message
    assert "a batch of 2 or more" in str(inside.help)
    assert inside.notes == ("in block unit, copy 1 of 2, used as unit at <spec>:9:5",)
    assert outside.notes == ()
    two = "input: [8, 4, 4]\nlayers: [{adaptive_avg_pool: [2, 1]}, batch_norm]\n"
    assert archspec.loads(two).check() == (), "two values have a variance"


def test_what_is_expected_of_several_outputs() -> None:
    text = "input: [4]\nlayers: [linear: {name: a, units: 2}, relu]\noutputs: [a, relu]\nexpect: {output: [2]}\n"
    (finding,) = archspec.loads(text).check()
    assert finding.message.endswith("a 2, relu 2")
