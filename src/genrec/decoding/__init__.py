"""From scores or tokens to ranked items."""
