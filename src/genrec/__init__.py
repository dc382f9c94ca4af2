"""Generative recommendation with language models: nine identifiers, one interface."""
