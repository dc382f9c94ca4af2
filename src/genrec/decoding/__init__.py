"""From the language model's states to ranked items: scores of all, or a search over token sequences."""

from genrec.decoding.grounding import inner_products, top_k

__all__ = ["inner_products", "top_k"]
