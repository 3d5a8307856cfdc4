"""From settings to a scorer: device, weights, family and way of reading."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageTextToText,
    AutoTokenizer,
)
from transformers.utils.logging import disable_progress_bar

from annotation.backends.base import BackendUnavailableError
from annotation.backends.local import architectures, quantizing, weights
from annotation.backends.local.asking import Prompt, asked
from annotation.backends.local.configuration import LocalConfig
from annotation.backends.local.families import Family, packable
from annotation.backends.local.features import EncoderFeatures, Features, OwnFeatures
from annotation.backends.local.llava import Llava
from annotation.backends.local.packing import PackedReader
from annotation.backends.local.qwen import Qwen
from annotation.backends.local.scoring import Description, Reader, Scorer
from annotation.backends.local.sequential import SequentialReader

FAMILIES: Final[Mapping[str, Callable[..., Family]]] = {
    "qwen2_5_vl": Qwen,
    "qwen3_vl": Qwen,
    "qwen3_5": Qwen,
    "llava_next": Llava,
}
ENCODERS: Final = ("clip", "siglip")
OWN: Final = "model"
Colour = tuple[float, float, float]
Colours = tuple[Colour, Colour]
# What models are trained on unless their folder says otherwise.
CLIP_COLOURS: Final[Colours] = (
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
)
EVEN_COLOURS: Final[Colours] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
EVEN: Final = ("qwen3_vl", "qwen3_5", "siglip")


def load(config: LocalConfig) -> Scorer:
    """The configured model, from its folder or the hub.

    Raises BackendUnavailableError, saying what is needed, if it cannot run here.
    """
    device = device_of(config)
    dtype = dtype_on(device)
    quantizing.check(config.quantization, device)
    folder = weights.folder_of(config.model, config.revision)
    kind = _kind(folder, tuple(FAMILIES), "TWINBY_VLM_MODEL")
    chosen = config.device != "auto"
    weights.check_speed(weights.parameters(folder), device, chosen=chosen)
    weights.check_memory(folder, device, dtype)
    # What is small, and may be damaged, is read before what takes minutes.
    settings = _settings(folder)
    tokenizer, colours = _tokenizer(folder), _colours(folder, kind)
    model = _model(AutoModelForImageTextToText, folder, settings, dtype).to(device)
    return _scorer(config, config.model, model, tokenizer, colours)


def random(architecture: str, config: LocalConfig) -> Scorer:
    """A model of random weights at its true size, to measure with; see architectures.

    Raises BackendUnavailableError for an unknown name or a missing device.
    """
    device = device_of(config)
    dtype = dtype_on(device)
    quantizing.check(config.quantization, device)
    numbers = architectures.parameters(architecture)
    weights.check_speed(numbers, device, chosen=config.device != "auto")
    weights.check_room(numbers, device, dtype)
    model, tokenizer = architectures.build(architecture, device=device, dtype=dtype)
    colours = _usual_colours(model.config.model_type)
    return _scorer(config, architecture, model, tokenizer, colours)


def device_of(config: LocalConfig) -> torch.device:
    """Where to run. Raises BackendUnavailableError if a GPU is asked for in vain."""
    there = torch.cuda.is_available()
    if config.device == "cuda" and not there:
        raise BackendUnavailableError(
            "No GPU: torch sees no CUDA device. It needs a driver and torch with CUDA; "
            "or set TWINBY_VLM_DEVICE=cpu."
        )
    return torch.device("cuda" if there and config.device != "cpu" else "cpu")


def dtype_on(device: torch.device) -> torch.dtype:
    """Half the memory and many times the speed on a GPU; exact on a CPU."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def _scorer(
    config: LocalConfig, name: str, model: Any, tokenizer: Any, colours: Colours
) -> Scorer:
    parameters = sum(p.numel() for p in model.parameters())
    family = FAMILIES[model.config.model_type](model, *colours)
    prompt = asked(tokenizer, image_token=family.image_token)
    quantizing.quantize(family.language, config.quantization)
    reader = _reader(family, prompt, config.image_side)
    description = Description(
        model=name,
        parameters=parameters,
        dtype=str(family.dtype).removeprefix("torch."),
        device=_device_name(family.device),
        quantization=config.quantization,
        reading="packed" if isinstance(reader, PackedReader) else "sequential",
    )
    features = _features(family, config)
    buckets = family.buckets(config.image_side)
    return Scorer(family, prompt, reader, features, buckets, description)


def _reader(family: Family, prompt: Prompt, side: int) -> Reader:
    """Packed where a mask decides what is seen, else the exact slower way."""
    photos = max(family.image_tokens(bucket) for bucket in family.buckets(side))
    if packable(family.text_config, photos + prompt.text_tokens):
        return PackedReader(family, prompt)
    return SequentialReader(family, prompt)


def _features(family: Family, config: LocalConfig) -> Features:
    if config.features == OWN:
        return OwnFeatures(family)
    folder = weights.folder_of(config.features, "main")
    kind = _kind(folder, ENCODERS, "TWINBY_VLM_FEATURES")
    weights.check_memory(folder, family.device, family.dtype)
    whole = _model(AutoModel, folder, _settings(folder), family.dtype)
    encoder = whole.vision_model.to(family.device)
    return EncoderFeatures(encoder, *_colours(folder, kind))


def _kind(folder: Path, supported: tuple[str, ...], setting: str) -> str:
    """The architecture; raises BackendUnavailableError if it is not supported."""
    said = weights.said_in(folder / "config.json")
    kind = said.get("model_type")
    if kind not in supported:
        known = ", ".join(supported)
        raise BackendUnavailableError(
            f"No architecture {kind!r} for {setting}; there are {known}."
        )
    if "quantization_config" in said:
        raise BackendUnavailableError(
            f"The weights of {setting} are quantized already: take those in bf16, "
            "which TWINBY_VLM_QUANTIZATION can make 8 bits wide."
        )
    return str(kind)


def _settings(folder: Path) -> Any:
    """What config.json says, in the architecture's own class."""
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # its fields are checked by many classes
        raise weights.damaged("contents of config.json") from error


def _model(loader: Any, folder: Path, settings: Any, dtype: torch.dtype) -> Any:
    """Weights from safetensors alone, and no code that comes with them."""
    # A worker's log is no place for one.
    disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model, found = loader.from_pretrained(
            folder,
            config=settings,
            dtype=dtype,
            attn_implementation="sdpa",
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise weights.damaged() from error
    # What is missing would be random numbers, with only a warning.
    if found["missing_keys"] or found["mismatched_keys"]:
        raise weights.damaged()
    return model.eval().requires_grad_(requires_grad=False)


def _colours(folder: Path, kind: str) -> Colours:
    """Mean and standard deviation of the colours that the model was trained on."""
    said = weights.said_in(folder / "preprocessor_config.json")
    mean, std = _usual_colours(kind)
    return said.get("image_mean", mean), said.get("image_std", std)


def _usual_colours(kind: str) -> Colours:
    return EVEN_COLOURS if kind in EVEN else CLIP_COLOURS


def _tokenizer(folder: Path) -> Any:
    """With the chat template of older folders, of which it does not know itself."""
    template = weights.said_in(folder / "chat_template.json").get("chat_template")
    weights.said_in(folder / "tokenizer.json")
    weights.said_in(folder / "tokenizer_config.json")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # of Rust, and of many classes
        raise weights.damaged("tokenizer files") from error
    if template:
        tokenizer.chat_template = template
    return tokenizer


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
