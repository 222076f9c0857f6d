"""A real S3 server for tests: OpenStack Swift with s3api, in one process of an environment of its own."""
