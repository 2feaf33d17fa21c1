"""Which method a checkpoint is of: its options name the encoder's class, its tensors say the rest."""

from dataclasses import dataclass

from ...errors import CheckpointError
from ..checkpoint import BARE, Checkpoint
from ..layout import Widths
from ..options import option

HYPERSTYLE = "hyperstyle"
W_ENCODER = "w-encoder"
IDINVERT, IDINVERT_ENCODER, IDINVERT_VGG = "idinvert", "idinvert-encoder", "idinvert-vgg16"
LPIPS_TRUNK, LPIPS_HEADS = "lpips-trunk", "lpips-heads"
#: Photo and reconstruction, stacked: what every refining network looks at.
PAIR = 6


@dataclass(frozen=True)
class EncoderClass:
    """A class of the authors' code: the method of it, its trunk and head as in ``EncoderShape``."""

    name: str
    method: str
    head: str
    trunk: str = "irse"
    progressive: bool = False


ENCODERS = {
    encoder.name: encoder
    for encoder in (
        EncoderClass("WEncoder", W_ENCODER, "pooled"),
        EncoderClass("GradualStyleEncoder", "psp", "pyramid"),
        EncoderClass("ResNetGradualStyleEncoder", "restyle-psp", "pyramid", "resnet"),
        EncoderClass("BackboneEncoderUsingLastLayerIntoW", "psp", "pooled"),
        EncoderClass("BackboneEncoderUsingLastLayerIntoWPlus", "psp", "flattened"),
        EncoderClass("Encoder4Editing", "e4e", "pyramid", progressive=True),
        EncoderClass("SingleStyleCodeEncoder", "e4e", "pooled"),
        EncoderClass("BackboneEncoder", "restyle-psp", "styles"),
        EncoderClass("ResNetBackboneEncoder", "restyle-psp", "styles", "resnet"),
        EncoderClass("ProgressiveBackboneEncoder", "restyle-e4e", "styles", progressive=True),
        EncoderClass("ResNetProgressiveBackboneEncoder", "restyle-e4e", "styles", "resnet", progressive=True),
    )
}
#: What users call the methods.
TITLES = {
    HYPERSTYLE: "a HyperStyle checkpoint",
    W_ENCODER: "a W-encoder's file",
    "psp": "a pSp checkpoint",
    "e4e": "an e4e checkpoint",
    "restyle-psp": "a ReStyle-pSp checkpoint",
    "restyle-e4e": "a ReStyle-e4e checkpoint",
    IDINVERT: "IDInvert's generator",
    IDINVERT_ENCODER: "IDInvert's encoder",
    IDINVERT_VGG: "IDInvert's VGG16",
    LPIPS_TRUNK: "torchvision's VGG16 or AlexNet",
    LPIPS_HEADS: "LPIPS's heads",
}


def method_of(checkpoint: Checkpoint) -> str:
    """The method of a checkpoint, or which part of one it is: ``W_ENCODER`` belongs to a HyperStyle checkpoint.

    Raises:
        CheckpointError: none that is known.
    """
    if any(name.startswith("hypernet.") for name in checkpoint.state):
        return HYPERSTYLE
    if bare := [kind for name, kind in BARE.items() if name in checkpoint.state]:
        return bare[0]
    encoder = encoder_class(checkpoint)
    # ReStyle uses pSp's encoder as well: then it looks at two pictures.
    return "restyle-psp" if encoder.method == "psp" and _sees_pairs(checkpoint) else encoder.method


def encoder_class(checkpoint: Checkpoint) -> EncoderClass:
    """The class of the encoder in a checkpoint.

    Raises:
        CheckpointError: there is no encoder in it, or of a class that is not known.
    """
    parts = sorted({name.split(".")[0] for name in checkpoint.state})
    if "encoder" not in parts:
        raise CheckpointError(
            f"{checkpoint.path} is not a checkpoint of a method that can be exported",
            got=f"a state_dict of {parts[:12]}",
            expected="encoder.* or hypernet.*, and decoder.*",
        )
    name = checkpoint.opts.get("encoder_type")
    if isinstance(name, str) and name in ENCODERS:
        return ENCODERS[name]
    # A W-encoder's file may carry the hypernetwork's options, which name no encoder: then its tensors tell.
    if "encoder.linear.weight" in checkpoint.state and not Widths(checkpoint.part("encoder")).has("output_layer_2."):
        return ENCODERS["WEncoder"]
    raise CheckpointError(
        f"{checkpoint.path} holds an encoder of an unknown class",
        got=f"the option encoder_type {str(name)[:80]!r}",
        expected=", ".join(ENCODERS),
    )


def _sees_pairs(checkpoint: Checkpoint) -> bool:
    first = checkpoint.state.get("encoder.input_layer.0.weight")
    pairs = first is not None and first.dim() == 4 and first.shape[1] == PAIR
    return pairs and option(checkpoint, "label_nc", int, 0) != PAIR
