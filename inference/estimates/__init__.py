"""What a call or an ingestion would cost at today's prices, without making it: at most, as it would be held, and likely.

The likely cost counts what is left of the month's allowances and the tier that the month has reached; the most does not,
for other calls may come first. Nothing is reserved, kept or asked of a model.
"""
