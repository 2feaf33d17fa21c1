"""Stage `encoder`: photo to W+ codes, the average code folded in."""

from torch import Tensor, nn

from ..networks.irse import WEncoder


class EncoderStage(nn.Module):
    """``codes[b, i] = WEncoder(image[b]) + latent_avg[i]``: [B, 3, H, W] in [-1, 1] to [B, n_styles, 512], float32."""

    def __init__(self, encoder: WEncoder, latent_avg: Tensor) -> None:
        super().__init__()
        self.encoder = encoder
        self.latent_avg = nn.Parameter(latent_avg)

    def forward(self, image: Tensor) -> Tensor:
        return self.encoder(image)[:, None, :] + self.latent_avg
