"""Devices by name, and bf16 only where it is native."""

import pytest
import torch

from whosings.devices import convolves_faster_in_bf16, has_bf16, open_device
from whosings.encoder.checkpoint import load_checkpoint
from whosings.errors import ConfigError
from whosings.segment_embedding import Encoder


def test_auto_is_a_gpu_where_there_is_one():
    assert open_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert open_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["warp", "cuda:99", ""])
def test_a_device_that_is_not_here(name):
    with pytest.raises(ConfigError, match=f"device {name}: cannot be used here; use cpu or auto"):
        open_device(name)


def test_an_encoder_that_does_not_fit(tiny, monkeypatch):
    def no_room(self, device):
        raise torch.OutOfMemoryError("out of memory")

    checkpoint = load_checkpoint(tiny.folder)
    monkeypatch.setattr(torch.nn.Module, "to", no_room)
    with pytest.raises(ConfigError, match="device cpu: cannot be used here; use cpu or auto"):
        Encoder(checkpoint, "cpu")


@pytest.mark.parametrize(
    ("known", "native"),
    [({}, False), ({"avx512": True}, False), ({"avx512_bf16": True}, True), ({"amx_bf16": True}, True)],
)
def test_bf16_on_a_processor(monkeypatch, known, native):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    assert has_bf16(torch.device("cpu")) is native


@pytest.mark.parametrize(
    ("known", "processor", "faster"),
    [
        ({"avx512_bf16": True}, "vendor_id : GenuineIntel", False),
        ({"avx512_bf16": True, "amx_bf16": True}, "vendor_id : GenuineIntel", True),
        ({"avx512_bf16": True}, "vendor_id : AuthenticAMD", True),
        ({"avx512": True}, "vendor_id : AuthenticAMD", False),
        ({"avx512_bf16": True}, "", False),
    ],
)
def test_networks_run_in_bf16_only_where_that_is_faster(monkeypatch, known, processor, faster):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    monkeypatch.setattr("whosings.devices._processor", lambda: processor)
    assert convolves_faster_in_bf16(torch.device("cpu")) is faster


def test_an_old_torch_does_not_say_what_a_processor_has(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not has_bf16(torch.device("cpu"))


def test_bf16_on_a_gpu_does_not_count_emulation(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not has_bf16(torch.device("cuda"))
    assert not has_bf16(torch.device("mps"))
