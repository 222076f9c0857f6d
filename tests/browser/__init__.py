"""The desk as people use it: a real Chromium over a running Atrium (`make verify-browser`)."""
