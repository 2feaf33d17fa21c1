"""Stage `encoder`: photo to W+ codes, the average code folded in."""

from torch import Tensor, nn

from ..networks.irse import WEncoder
from ..precision import FLOAT32, Precision, widen
from .reduced import reduced


class EncoderStage(nn.Module):
    """``codes[b, i] = WEncoder(image[b]) + latent_avg[i]``: [B, 3, H, W] in [-1, 1] to [B, n_styles, 512], float32.

    The mean over the last features and the linear map behind it stay float32.
    """

    def __init__(self, encoder: WEncoder, latent_avg: Tensor, precision: Precision = FLOAT32) -> None:
        super().__init__()
        self.precision = precision
        self.encoder = reduced(encoder, precision)
        self.latent_avg = nn.Parameter(latent_avg)

    def forward(self, image: Tensor) -> Tensor:
        features = self.encoder.features(self.precision.narrow(image))
        return self.encoder.linear(widen(features).mean((2, 3)))[:, None, :] + self.latent_avg
