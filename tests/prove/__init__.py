"""`make prove`: the promises that take too long for the suite, each kept or broken on a stack of its own.

python -m tests.prove            all of them
python -m tests.prove 6 9        these
PROVE_SCALE=0.05 …               a twentieth of the operations, for a quick look
"""
