"""SETRec's auto-encoder of text embeddings, "the unified semantic tokenizer" (Lin et al., SIGIR 2025, Section 3.1)."""

from __future__ import annotations

from torch import Tensor, nn

from genrec.assets.codes.layers import HIDDEN, mlp


class AutoEncoder(nn.Module):
    """One text embedding to N tokens and back (Eq. 3 and 4).

    Args:
        text_dim: width of the frozen text embedding.
        n_tokens: N.
        width: D, the width of a token.
    """

    def __init__(self, text_dim: int, n_tokens: int, width: int) -> None:
        super().__init__()
        sizes = (text_dim, *HIDDEN, n_tokens * width)
        self.n_tokens = n_tokens
        self.encoder = mlp(sizes)
        self.decoder = mlp(sizes[::-1])

    def encode(self, text: Tensor) -> Tensor:
        """[..., text_dim] to tokens [..., N, D]."""
        return self.encoder(text).unflatten(-1, (self.n_tokens, -1))

    def features(self, text: Tensor) -> Tensor:
        """[..., text_dim] to what the last layer makes the tokens of, [..., h]."""
        return self.encoder[:-1](text)

    def last(self) -> tuple[Tensor, Tensor]:
        """Of the last layer the weights [N, D, h] and biases [N, D]."""
        *_, weight, bias = self.encoder.parameters()
        return weight.unflatten(0, (self.n_tokens, -1)), bias.unflatten(0, (self.n_tokens, -1))

    def decode(self, tokens: Tensor) -> Tensor:
        """Tokens [..., N, D] to a text embedding [..., text_dim]."""
        return self.decoder(tokens.flatten(-2))
