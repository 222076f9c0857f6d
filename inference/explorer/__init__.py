"""Looking into calls that were made: lists with their figures, and the whole story of one. Nothing here changes anything.

figures   what each call of a list used and cost
story     one call: what was asked and answered, how its time went, what it cost and why
passages  what search found for it, and where that stands
"""
