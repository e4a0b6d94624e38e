"""Names that models save themselves under: found by values, and never where the form is another."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from problems import images, member, plain, problem_of
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from pawl.errors import TaskError
from pawl.task import Task
from pawl.transfer.saved_names import saved_names


class Body(nn.Module):
    """Two layers of one shape, saved by names in whose order they would be exchanged."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.entry = nn.Conv2d(channels, 8, 3, stride=2)
        self.before, self.after = nn.Linear(8, 8), nn.Linear(8, 8)
        self.fused, self.dropout = nn.Linear(8, 8, bias=False), nn.Dropout(0.1)
        self.register_buffer("scale", torch.ones(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.entry(x)).mean((2, 3))
        return self.dropout(self.fused(F.relu(self.after(F.relu(self.before(x)))))) * self.scale

    def save_pretrained(self, folder: str) -> None:
        print("saving")
        save_file(self.renamed(), Path(folder) / "weights.safetensors")

    def renamed(self) -> dict[str, Tensor]:
        old = {"entry": "z_entry", "before": "layer_2", "after": "layer_1", "fused": "fused"}
        return {
            ".".join((old.get(layer, layer), own)): x.detach().clone()
            for name, x in self.state_dict().items()
            for layer, own in [name.split(".")]
        }


class Turned(Body):
    """It writes a square matrix the other way round."""

    def renamed(self) -> dict[str, Tensor]:
        found = super().renamed()
        return found | {"fused.weight": found["fused.weight"].T.contiguous()}


class Fails(Body):
    def save_pretrained(self, folder: str) -> None:
        raise OSError(folder)


class Net(nn.Module):
    """Somebody else's body, and a head of one's own."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Body()
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def test_names_are_found_by_values_and_nothing_is_said_or_changed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    net = Net()
    before = {name: x.clone() for name, x in net.state_dict().items()}
    names = saved_names(net)
    assert names["body.layer_2.weight"] == "body.before.weight"
    assert names["body.layer_1.bias"] == "body.after.bias"
    assert len(names) == 7
    assert all(torch.equal(x, before[name]) for name, x in net.state_dict().items())
    assert capsys.readouterr().out == ""


def test_what_is_written_in_another_form_has_no_name() -> None:
    names = saved_names(Turned())
    assert "fused.weight" not in names
    assert len(names) == 6


def test_models_that_do_not_save_themselves_or_fail_to_have_no_other_names() -> None:
    assert saved_names(nn.Linear(2, 2)) == {}
    assert saved_names(Fails()) == {}


@pytest.mark.parametrize("whole", [True, False])
def test_weights_of_a_saved_body_start_a_network(whole: bool, tmp_path: Path) -> None:
    torch.manual_seed(5)
    learned = Body()
    source = learned.renamed()
    if whole:
        source = {f"backbone.{name}": x for name, x in source.items()}
    save_file(source, tmp_path / "model.safetensors")
    problem = problem_of(Task(data=images(), model=Net, weights=tmp_path))
    assert "read by the names that the model saves itself under" in problem.notes[0]
    assert "not in it" not in problem.notes[0]  # what is pawl's own, or is never saved
    one = member(plain(), 0)
    body = dict(problem.build(plain(), 0, one.train)[1].named_parameters())
    assert torch.equal(body["module.body.before.weight"], learned.before.weight)
    assert torch.equal(body["module.body.after.weight"], learned.after.weight)


def test_a_file_in_another_form_is_refused_by_its_share(tmp_path: Path) -> None:
    source = {f"gone.{name}": x for name, x in Body().renamed().items()}
    save_file(
        {**source, "gone.layer_2.weight": torch.zeros(3, 3)}, tmp_path / "weights.safetensors"
    )
    with pytest.raises(TaskError, match="are not those of this model"):
        problem_of(Task(data=images(), model=Net, weights=tmp_path / "weights.safetensors"))
