#!/usr/bin/env bash
# Finding: on CPUs torch.compile multiplies by wrong numbers where a row is repeated, cut, and used in the same expression.
#
# Package: torch 2.13.0. Each number of a row is repeated (repeat_interleave, or expand and reshape), the result is cut to a
# length that the repeats do not divide, and it scales or shifts something else: y * gates.repeat_interleave(100, 2)[..., :250].
# That is how networks with context-aware masking (CAM++ and its relatives) apply a gate that holds for 100 frames.
#
# One would expect the same numbers, compiled or not, up to rounding. Seen: without an error or a warning the compiled
# expression is off by factors, or holds NaN, whereas lengths that the repeats divide, repeats that are not cut, and an
# index (gates[..., torch.arange(250) // 100]) come out right to 1e-6. Compiled alone, without the product, it is right.
#
# The script fails if any of this changes. It needs a C++ compiler.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' numpy 2>/dev/null
export TORCHINDUCTOR_CACHE_DIR="$folder/cache"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch

torch.manual_seed(0)
rows, gates = torch.rand(2, 8, 300) + 1, torch.rand(2, 8, 3) + 1


def repeated(x, g):
    return x * g.repeat_interleave(100, dim=2)[..., : x.shape[2]]


def reshaped(x, g):
    return x + g[..., None].expand(2, 8, 3, 100).reshape(2, 8, 300)[..., : x.shape[2]]


def indexed(x, g):
    return x * g.index_select(2, torch.arange(x.shape[2]) // 100)


def alone(x, g):
    return g.repeat_interleave(100, dim=2)[..., : x.shape[2]]


wrong = 0
print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}")
for function, length, expected in (
    (repeated, 250, False),
    (repeated, 299, False),
    (reshaped, 250, False),
    (repeated, 300, True),
    (indexed, 250, True),
    (alone, 250, True),
):
    torch._dynamo.reset()
    x = rows[..., :length].contiguous()
    with torch.inference_mode():
        plain, compiled = function(x, gates), torch.compile(function)(x, gates)
    same = torch.allclose(plain, compiled, rtol=1e-5)
    print(f"{function.__name__:9} length {length}: compiled {'equals' if same else 'differs from'} eager")
    wrong += same is not expected
sys.exit(wrong > 0)
PYTHON
