"""Bytes of an uploaded file to text: what it is, what it says, on which page.

`reading` is the way in; `documents` holds what goes in and comes out. The file itself is opened by `child` only, in a
process with limits that hostile input cannot outgrow.
"""
