"""Where documents come from besides uploads: URLs and buckets. Everything here talks to addresses that tenants name,
so every connection is made by `guarded_http`, to an address that `public_addresses` has checked.
"""
