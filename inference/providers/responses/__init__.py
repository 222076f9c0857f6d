"""Servers that speak OpenAI's `/responses` and no chat completions: chat bodies go there and come back as such."""
