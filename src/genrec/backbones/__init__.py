"""The only code that knows Hugging Face models."""

from genrec.backbones.base import Backbone, Context, Memory, Read
from genrec.backbones.causal import CausalBackbone
from genrec.backbones.lora import LoRA
from genrec.backbones.states import StatesText
from genrec.backbones.t5 import T5Backbone

__all__ = ["Backbone", "CausalBackbone", "Context", "LoRA", "Memory", "Read", "StatesText", "T5Backbone"]
