"""From the language model's states to ranked items: scores of all, sums over slots, or a search over sequences."""

from genrec.decoding.code_sums import item_scores, top_codes
from genrec.decoding.grounding import inner_products, top_k, top_k_in_parts, top_products

__all__ = ["inner_products", "item_scores", "top_codes", "top_k", "top_k_in_parts", "top_products"]
