"""The screens that Atrium runs itself: each finds one sort of thing in a text, in time proportional to it.

base               what a screen is
terms, anchored    the two engines: lists of words, and patterns behind rare beginnings
personal_data, secret_keys, malicious_code, prompt_injection, profanity
"""
