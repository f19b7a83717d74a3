"""A text encoder with a head of numbers: of the class of RoBERTa, from a local folder.

The folder is what transformers' `save_pretrained` leaves of a model and of its tokenizer. Nothing
is downloaded, and no code in the folder is run. The encoder is trained as a whole with a linear
head on the mean of its last states; a text longer than its window is cut into windows, and what is
foretold of them is averaged by their lengths. The only file of this package that knows torch and
transformers. Where there is a GPU it is used.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from assay.selectors.errors import BadInput, BadRequest, BadSetting
from assay.selectors.records import Floats, Mask
from assay.selectors.telling import most_telling

WINDOW = 512  # tokens; fewer if the encoder has fewer places
MOST_WINDOWS = 8  # of one text; what comes later is not looked at
CHARACTERS = 32  # of a token, at most on average: more of a text are never cut into tokens
# Starting values that are common for fine-tuning encoders of this class (Liu et al. 2019,
# arXiv:1907.11692, table 10).
RATE, WARM_UP, DECAY, EPOCHS, BATCH = 2e-5, 0.06, 0.01, 3, 32
HEAD_RATE = 1e-3  # of the head, which begins at zero


@dataclass(frozen=True)
class Place:
    """The folder of an encoder."""

    folder: str
    digest: str  # of its files


@dataclass
class Weights:
    """What was learned, to be written down: all parameters one after the other, by their names."""

    flat: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    columns: int = 0
    losses: Floats = field(default_factory=lambda: np.zeros(0))  # mean squared error of each epoch


def opened(folder: str) -> Place:
    """The encoder in a folder, if it can be used here."""
    _libraries()
    if not folder:
        raise BadSetting("scorer=encoder: name its folder with --set encoder=FOLDER")
    place = Path(folder)
    if not (place / "config.json").is_file():
        raise BadInput(
            f"{folder}: holds no encoder: config.json, a tokenizer and model.safetensors are "
            f"expected, as save_pretrained leaves them"
        )
    names = sorted(p for p in place.iterdir() if p.suffix in {".json", ".txt", ".safetensors"})
    digest = hashlib.sha256()
    for path in names:
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return Place(str(place), digest.hexdigest()[:16])


def steps(documents: int) -> int:
    return EPOCHS * -(-documents // BATCH)


def _libraries() -> tuple[Any, Any]:
    try:
        import torch
        import transformers
    except ImportError as cause:
        raise BadRequest(
            f"scorer=encoder needs torch and transformers ({cause}): pip install 'assay[encoder]', "
            f"or take scorer=ridge"
        ) from cause
    logging: Any = transformers.utils.logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    return torch, transformers


def _net(place: Place, columns: int) -> tuple[Any, Any, int]:
    """The encoder with its head, its tokenizer, and the tokens that fit its window."""
    torch, transformers = _libraries()
    try:
        body = transformers.AutoModel.from_pretrained(place.folder, local_files_only=True)
        tokenizer = transformers.AutoTokenizer.from_pretrained(place.folder, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as cause:
        said = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
        raise BadInput(f"{place.folder}: cannot be read as an encoder: {said}") from cause
    if tokenizer.pad_token_id is None:
        raise BadInput(f"{place.folder}: its tokenizer has no token for padding")
    head = torch.nn.Linear(int(body.config.hidden_size), columns)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    net = torch.nn.ModuleDict({"body": body.float(), "head": head})
    # RoBERTa counts places from behind the padding's id on.
    room = int(getattr(body.config, "max_position_embeddings", WINDOW + 2)) - 2
    return net, tokenizer, max(8, min(WINDOW, room))


def _windows(tokenizer: Any, text: str, room: int, most: int) -> list[list[int]]:
    """The text's tokens in windows, each with the encoder's own marks around it."""
    few = text[: most * room * CHARACTERS]
    found = tokenizer(few, truncation=True, max_length=room, return_overflowing_tokens=True)
    windows: list[list[int]] = found["input_ids"]
    return windows[:most]


def _forward(net: Any, tokenizer: Any, windows: Sequence[Sequence[int]], device: str) -> Any:
    """(windows, columns)."""
    torch, _ = _libraries()
    longest = max(len(one) for one in windows)
    padded = [[*one, *[tokenizer.pad_token_id] * (longest - len(one))] for one in windows]
    ids = torch.tensor(padded, device=device)
    mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in windows],
                        device=device)  # fmt: skip
    states = net["body"](input_ids=ids, attention_mask=mask).last_hidden_state
    weight = mask.unsqueeze(-1).to(states.dtype)
    return net["head"]((states * weight).sum(1) / weight.sum(1).clamp(min=1))


def _strings(texts: pa.Array) -> Iterator[str]:
    for text in texts.cast(pa.large_binary()):
        yield text.as_py().decode(errors="replace")


def _device() -> str:
    return "cuda" if _libraries()[0].cuda.is_available() else "cpu"


# Training ------------------------------------------------------------------------------------


def train(
    place: Place, texts: pa.Array, wanted: Floats, out: Mask, seed: int,
    told: Callable[[int], None] = lambda done: None,
) -> Weights:  # fmt: skip
    """Least squares on the documents that are not held out, from the first window of each."""
    torch, _ = _libraries()
    torch.manual_seed(seed)
    net, tokenizer, room = _net(place, wanted.shape[1])
    device = _device()
    net.to(device).train()
    rows = np.flatnonzero(~out)
    windows = [
        _windows(tokenizer, text, room, 1)[0] for text in _strings(texts.take(pa.array(rows)))
    ]
    aims = torch.tensor(wanted[rows], dtype=torch.float32, device=device)
    groups = [{"params": net["body"].parameters(), "lr": RATE},
              {"params": net["head"].parameters(), "lr": HEAD_RATE}]  # fmt: skip
    optimiser = torch.optim.AdamW(groups, weight_decay=DECAY)
    whole = steps(len(rows))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _share(step, whole))
    chance, losses = np.random.default_rng(seed), list[float]()
    for _ in range(EPOCHS):
        order, total = chance.permutation(len(rows)), 0.0
        for at in range(0, len(order), BATCH):
            some = order[at : at + BATCH]
            found = _forward(net, tokenizer, [windows[n] for n in some], device)
            loss = torch.nn.functional.mse_loss(found, aims[torch.as_tensor(some, device=device)])
            if not torch.isfinite(loss):
                raise BadRequest(
                    f"{place.folder}: the loss is no number any more after {len(losses)} epochs: "
                    f"the encoder cannot be trained so; take scorer=ridge"
                )
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
            total += float(loss.detach()) * len(some)
            told(1)
        losses.append(total / len(rows))
    state = net.state_dict()
    flat = [state[name].detach().cpu().float().numpy().ravel() for name in _names(state)]
    return Weights(np.concatenate(flat), wanted.shape[1], np.asarray(losses))


def _share(step: int, whole: int) -> float:
    """Of the learning rate: up over the first steps, then down to nothing."""
    first = max(1, round(WARM_UP * whole))
    return min((step + 1) / first, max(0.0, (whole - step) / max(whole - first, 1)))


def _names(state: Any) -> list[str]:
    return sorted(name for name, value in state.items() if value.is_floating_point())


# Use -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Encoder:
    """Foretells columns of a document from its text."""

    place: Place
    weights: Weights

    @property
    def versions(self) -> dict[str, str]:
        torch, transformers = _libraries()
        return {"torch": torch.__version__, "transformers": transformers.__version__}

    def __call__(self, texts: pa.Array) -> Floats:
        """Shape (documents, columns). Each document goes through by itself, so its neighbours
        cannot change a bit of what is foretold."""
        torch, _ = _libraries()
        net, tokenizer, room = _loaded(self.place, _Same(self.weights))
        found = np.zeros((len(texts), self.weights.columns))
        with torch.inference_mode():
            for row, text in enumerate(_strings(texts)):
                windows = _windows(tokenizer, text, room, MOST_WINDOWS)
                size = np.array([len(one) for one in windows], float)
                told = _forward(net, tokenizer, windows, _device()).double().cpu().numpy()
                found[row] = size @ told / size.sum()
        return found

    def explain(self, text: bytes, column: int) -> dict[str, Any]:
        """An encoder cannot say which n-grams weigh most."""
        one = pa.array([text], pa.large_binary())
        return most_telling([], float(self(one)[0, column]))


class _Same:
    """Weights as a key: the same object, the same key."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    def __hash__(self) -> int:
        return id(self.weights)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.weights is self.weights


@lru_cache(maxsize=1)
def _loaded(place: Place, same: _Same) -> tuple[Any, Any, int]:
    torch, _ = _libraries()
    net, tokenizer, room = _net(place, same.weights.columns)
    state, at = net.state_dict(), 0
    for name in _names(state):
        size = state[name].numel()
        part = torch.from_numpy(same.weights.flat[at : at + size].copy())
        state[name].copy_(part.view(state[name].shape))
        at += size
    return net.to(_device()).eval(), tokenizer, room
