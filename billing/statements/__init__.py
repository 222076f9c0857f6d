"""What finance signs: a month's statement, what is credited of it, and what the platform earned.

`closing` closes months, `credits` gives money back, `lines` says what a month has, `margins` compares prices with costs.
"""
